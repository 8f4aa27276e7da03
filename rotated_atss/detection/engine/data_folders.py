"""Replace the data folders of a config with the folder given by ``--data``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from rotated_atss.detection.engine.dataset_wrappers import innermost_dataset_cfgs
from rotated_atss.errors import UserError

IMAGES = "images"  # subfolder of a folder of tiles


def set_train_data(cfg: Config, folder: str | Path) -> None:
    """Change a config, in place, to train and validate on the data of a folder.

    Args:
        cfg: A config.
        folder: Folder of tiles that ``rotated-atss split`` has written, or a folder that contains such folders:
            ``trainval`` or ``train`` and, for validation, ``val``. With a COCO config: the folder of ``annotations``
            and images.

    Raises:
        UserError: The config has several datasets.

    Example::

        set_train_data(cfg, "data/roofs")
    """
    for loader in ("train_dataloader", "val_dataloader"):
        if not cfg.get(loader):
            continue
        dataset = _only_dataset(cfg, loader)
        if dataset.get("type") != "DOTADataset":
            dataset["data_root"] = str(folder)
        elif loader == "train_dataloader":
            dataset["data_root"] = str(find_tiles(folder, ("trainval", "train")))
        else:
            dataset["data_root"] = str(Path(folder, "val"))  # if it does not exist, training skips validation


def set_test_data(cfg: Config, folder: str | Path) -> None:
    """Change a config, in place, to test on the data of a folder.

    Args:
        cfg: A config.
        folder: Folder of tiles that ``rotated-atss split`` has written, or a folder with such a subfolder, named
            ``val`` or ``test``. With a COCO config: the folder of ``annotations`` and images.

    Raises:
        UserError: The config has several datasets.

    Example::

        set_test_data(cfg, "data/roofs")
    """
    dataset = _only_dataset(cfg, "test_dataloader")
    is_dota = dataset.get("type") == "DOTADataset"
    dataset["data_root"] = str(find_tiles(folder, ("val", "test")) if is_dota else folder)


def find_tiles(folder: str | Path, splits: tuple[str, ...]) -> Path:
    """Return the folder if it has tiles, else its first subfolder among ``splits`` that has tiles, else the folder.

    A folder of tiles is recognized by its subfolder :data:`IMAGES`.

    Example:
        >>> find_tiles("data/roofs", ("trainval", "train")).name  # nothing is there
        'roofs'
    """
    candidates = [Path(folder), *(Path(folder, name) for name in splits)]
    return next((candidate for candidate in candidates if (candidate / IMAGES).is_dir()), Path(folder))


def _only_dataset(cfg: Config, loader: str) -> Any:
    datasets = list(innermost_dataset_cfgs(cfg[loader].get("dataset")))
    if len(datasets) != 1:
        hint = f"set the folders with --cfg-options {loader}.dataset..."
        what = f"--data is ambiguous: {loader} has {len(datasets)} datasets"
        raise UserError(what, where=cfg.filename, hint=hint)
    return datasets[0]
