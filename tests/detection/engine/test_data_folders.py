"""Data folders named on the command line."""

import pytest

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.options import TestOptions, TrainOptions
from rotated_atss.detection.engine.preflight import check_data
from rotated_atss.detection.engine.prepare import prepare_test, prepare_train

PUBLISHED, COCO = "rotated_atss_obb_r50_fpn_1x_dota_le90", "atss_r50_fpn_1x_coco"


@pytest.fixture
def make_folders(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).mkdir(parents=True)
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    "folders, train",
    [
        (["images"], ""),
        (["train/images", "val/images"], "/train"),
        (["trainval/images", "train/images"], "/trainval"),
        ([], ""),  # the check of the data names the missing folder
    ],
)
def test_folder_of_tiles_or_of_splits(make_folders, folders, train):
    root = make_folders(*folders)
    cfg = prepare_train(load_config(PUBLISHED), TrainOptions(data=root))
    assert cfg.train_dataloader.dataset.data_root == root + train
    assert cfg.val_dataloader.dataset.data_root == f"{root}/val"  # trained without validation if it does not exist


@pytest.mark.parametrize("folders, tested", [(["images"], ""), (["val/images"], "/val"), (["test/images"], "/test")])
def test_tested_tiles(make_folders, folders, tested):
    root = make_folders(*folders)
    cfg = prepare_test(load_config(PUBLISHED), TestOptions(data=root))
    assert cfg.test_dataloader.dataset.data_root == root + tested


def test_missing_tiles_next_to_folders_of_other_subsets(make_folders, fault):
    root = make_folders("train/images")
    cfg = prepare_test(load_config(PUBLISHED), TestOptions(data=root))
    assert fault(check_data, cfg, "test_dataloader").endswith(
        f"images: no such folder (choose a subset: --data {root}/train)"
    )


def test_coco_dataset():
    cfg = prepare_train(load_config(COCO), TrainOptions(data="my/coco"))
    assert cfg.train_dataloader.dataset.data_root == cfg.val_dataloader.dataset.data_root == "my/coco"


def test_several_datasets(fault):
    cfg = load_config(PUBLISHED)
    cfg.train_dataloader.dataset = dict(type="ConcatDataset", datasets=[cfg.train_dataloader.dataset] * 2)
    error = fault(prepare_train, cfg, TrainOptions(data="roofs"))
    assert "--data is ambiguous: train_dataloader has 2 datasets" in error
