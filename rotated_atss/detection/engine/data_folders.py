"""Replace the data folders of a config with the folder given by ``--data``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from rotated_atss.detection.engine.dataset_wrappers import innermost_dataset_cfgs
from rotated_atss.dota.folders import TEST_SUBSETS, TRAIN_SUBSETS, find_tiles
from rotated_atss.errors import UserError


def set_train_data(cfg: Config, folder: str | Path) -> None:
    """Change a config, in place, to train and validate on the data of a folder.

    Args:
        cfg: A config.
        folder: For a DOTA config, a folder with the subfolder ``trainval`` or ``train`` and, optionally, ``val``. The
            subfolders are folders of tiles that ``rotated-atss split`` has written. Or a single folder of tiles, to
            train on it without validation. For a COCO config, the folder that contains ``annotations`` and the images.

    Raises:
        UserError: A data loader of the config has no dataset or several datasets.

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
            dataset["data_root"] = str(find_tiles(folder, TRAIN_SUBSETS))
        else:
            dataset["data_root"] = str(Path(folder, "val"))  # without such a folder, training runs without validation


def set_test_data(cfg: Config, folder: str | Path) -> None:
    """Change a config, in place, to test on the data of a folder.

    Args:
        cfg: A config.
        folder: For a DOTA config, a folder with the subfolder ``val`` or ``test``, which is a folder of tiles that
            ``rotated-atss split`` has written; or a folder of tiles. For a COCO config, the folder that contains
            ``annotations`` and the images.

    Raises:
        UserError: The test data loader has no dataset or several datasets.

    Example::

        set_test_data(cfg, "data/roofs")
    """
    dataset = _only_dataset(cfg, "test_dataloader")
    is_dota = dataset.get("type") == "DOTADataset"
    dataset["data_root"] = str(find_tiles(folder, TEST_SUBSETS) if is_dota else folder)


def _only_dataset(cfg: Config, loader: str) -> Any:
    datasets = list(innermost_dataset_cfgs(cfg[loader].get("dataset")))
    if len(datasets) != 1:
        hint = f"set the folders with --cfg-options {loader}.dataset..."
        what = f"--data is ambiguous: {loader} has {len(datasets)} datasets"
        raise UserError(what, where=cfg.filename, hint=hint)
    return datasets[0]
