"""What can be told of a config's data without reading it all, before anything is logged or written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from rotated_atss.coco.instances import read_instances, reject_missing_images
from rotated_atss.dota.folders import pair_images_and_labels
from rotated_atss.errors import UserError

SMALL_JSON_BYTES = 2**25  # read twice without being noticed


def check_data(cfg: Config, loader: str, option: str = "") -> None:
    """Look for the folders and files of a loader's data sets; a label file's content is left to the data set.

    Args:
        loader: ``train_dataloader``, ``val_dataloader`` or ``test_dataloader``; one that the config lacks passes.
        option: Of the command, for other data.

    Raises:
        UserError: A folder or file that is not there, tiles and labels that do not pair, a small JSON that is broken.
    """
    option = option or f"--cfg-options {loader}.dataset.data_root=PATH"
    for dataset in _datasets((cfg.get(loader) or {}).get("dataset")):
        if dataset.get("type") == "DOTADataset":
            _check_tiles(dataset, option)
        elif dataset.get("type") == "CocoInstancesDataset":
            _check_instances(dataset, option)


def _datasets(dataset: object) -> Iterator[dict]:
    """A data set, or those that it wraps."""
    if not isinstance(dataset, dict):
        return
    inner = dataset.get("datasets") or [dataset.get("dataset")]
    if inner == [None]:
        yield dataset
    for each in inner:
        yield from _datasets(each)


def _check_tiles(dataset: dict, option: str) -> None:
    labels = dataset.get("ann_file", "labelTxt")
    images = _below(dataset, (dataset.get("data_prefix") or {}).get("img_path", "images"))
    hint = f"make tiles with rotated-atss split, or name others: {option}"
    for folder in (images, *([_below(dataset, labels)] if labels else ())):
        if not folder.exists():
            raise UserError("no such folder", where=folder, hint=hint)
    pair_images_and_labels(images, _below(dataset, labels) if labels else None)


def _check_instances(dataset: dict, option: str) -> None:
    path = _below(dataset, dataset.get("ann_file") or "")
    images = _below(dataset, (dataset.get("data_prefix") or {}).get("img") or "")
    if not path.is_file():
        raise UserError("no such file", where=path, hint=f"another COCO dataset: {option}")
    if not images.is_dir():
        raise UserError("no such folder of images", where=images, hint=f"{path} names its files: check data_prefix.img")
    if path.stat().st_size <= SMALL_JSON_BYTES:
        reject_missing_images(read_instances(path), images)


def _below(dataset: dict, path: str) -> Path:
    return Path(dataset.get("data_root") or "") / path  # an absolute path stays as it is
