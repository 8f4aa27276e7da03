"""Check that the data of a config exists, before anything is logged or written."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from rotated_atss.coco.instances import read_instances, reject_missing_images
from rotated_atss.detection.engine.dataset_wrappers import innermost_dataset_cfgs
from rotated_atss.dota.folders import missing_tiles_error, pair_images_and_labels
from rotated_atss.errors import UserError

# A COCO JSON of at most this size is also read and validated here. Reading a larger one would take noticeable time.
SMALL_JSON_BYTES = 2**25


def check_data(cfg: Config, loader: str) -> None:
    """Check that the folders and files of a data loader's datasets exist.

    The content of label files is checked later, by the dataset.

    Args:
        cfg: The config.
        loader: ``train_dataloader``, ``val_dataloader`` or ``test_dataloader``. If the config has no such loader,
            nothing is checked.

    Raises:
        UserError: A folder or file is missing; a tile has no label file or a label file has no tile; or a COCO JSON of
            at most 32 MiB is invalid.

    Example:
        >>> dataset = dict(type="DOTADataset", data_root="no/such")
        >>> check_data(Config(dict(test_dataloader=dict(dataset=dataset))), "test_dataloader")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: no/such/images: no such folder (make tiles with rotated-atss split, or ...
    """
    loader_cfg = cfg.get(loader) or {}
    for dataset in innermost_dataset_cfgs(loader_cfg.get("dataset")):
        if dataset.get("type") == "DOTADataset":
            _check_tiles(dataset)
        elif dataset.get("type") == "CocoInstancesDataset":
            _check_instances(dataset)


def _check_tiles(dataset: dict) -> None:
    data_prefix = dataset.get("data_prefix") or {}
    image_folder = _in_data_root(dataset, data_prefix.get("img_path", "images"))
    ann_file = dataset.get("ann_file", "labelTxt")  # an empty value configures a dataset without labels
    label_folder = _in_data_root(dataset, ann_file) if ann_file else None
    for folder in (image_folder, label_folder):
        if folder is not None and not folder.exists():
            raise missing_tiles_error(image_folder.parent, folder)
    pair_images_and_labels(image_folder, label_folder)


def _check_instances(dataset: dict) -> None:
    json_path = _in_data_root(dataset, dataset.get("ann_file") or "")
    data_prefix = dataset.get("data_prefix") or {}
    image_folder = _in_data_root(dataset, data_prefix.get("img") or "")
    if not json_path.is_file():
        raise UserError("no such file", where=json_path, hint="choose another COCO dataset: --data DIR")
    if not image_folder.is_dir():
        hint = f"check data_prefix.img, the folder of the images that {json_path} lists"
        raise UserError("no such folder of images", where=image_folder, hint=hint)
    if json_path.stat().st_size <= SMALL_JSON_BYTES:
        reject_missing_images(read_instances(json_path), image_folder)


def _in_data_root(dataset: dict, path: str) -> Path:
    """Return a path relative to the dataset's ``data_root`` with its root; an absolute path is returned unchanged."""
    return Path(dataset.get("data_root") or "") / path
