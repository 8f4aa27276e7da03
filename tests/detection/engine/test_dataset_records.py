"""Sizes and boxes of dataset records after the resize of the pipeline."""

import cv2
import numpy as np
import pytest
import torch

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.dataset_records import build_assignment_input, load_records, resized_wh
from rotated_atss.errors import UserError
from tests.references.coco_instances import write_coco_instances

OBB, COCO = "rotated_atss_obb_r50_fpn_1x_dota_le90", "atss_r50_fpn_1x_coco"


def test_tiles_of_a_split_folder(tiles):
    records, pipeline = load_records(load_config(OBB), str(tiles))
    assert len(records) == 5  # the tile without objects is filtered, as in training
    image = build_assignment_input(records[0], pipeline)
    assert image.image_wh == (1024, 1024)
    assert image.gt_boxes.shape == (4, 5)
    assert image.gt_boxes_ignore.shape == (0, 5)
    unscaled = torch.tensor([each["bbox"] for each in records[0]["instances"]])
    assert torch.allclose(image.gt_boxes[:, :4], unscaled[:, :4] * 8)
    assert torch.equal(image.gt_boxes[:, 4], unscaled[:, 4])


def test_records_of_all_datasets_in_a_wrapper(tiles):
    cfg = load_config(OBB)
    part = {**cfg.train_dataloader.dataset, "data_root": str(tiles)}
    cfg.train_dataloader.dataset = dict(type="ConcatDataset", datasets=[part, part])
    records, pipeline = load_records(cfg, None)
    assert len(records) == 10
    assert pipeline == part["pipeline"]
    assert len(load_records(cfg, str(tiles))[0]) == 5


def test_instances_json_without_images(tmp_path):
    path = write_coco_instances(tmp_path / "instances.json")
    records, pipeline = load_records(load_config(COCO), str(path))
    image = build_assignment_input(records[0], pipeline)
    assert image.image_wh == (1067, 800)
    assert torch.allclose(image.gt_boxes, torch.tensor([[100, 100, 160, 130]]) * torch.tensor([1067 / 400, 8 / 3] * 2))
    assert len(image.gt_boxes_ignore) == 1


@pytest.mark.parametrize(
    "transform, expected",
    [
        (dict(type="Resize", scale=(1024, 1024), keep_ratio=True), (1024, 768)),
        (dict(type="Resize", scale=(640, 320)), (640, 320)),
        (dict(type="Resize", scale_factor=2.0), (800, 600)),
        (dict(type="RandomResize", scale=[(1333, 640), (1333, 800)], keep_ratio=True), (960, 720)),
        (dict(type="RandomChoiceResize", scales=[(1333, 640), (1333, 672), (1333, 800)], keep_ratio=True), (896, 672)),
        (dict(type="RandomChoiceResize", scales=[(1333, 640), (1333, 672), (1333, 800)]), (1333, 672)),
        (dict(type="RandomFlip", prob=0.5), (400, 300)),
    ],
)
def test_size_after_the_resize_of_the_pipeline(transform, expected):
    assert resized_wh((400, 300), [dict(type="LoadTile"), transform]) == expected


def test_config_without_training_set():
    cfg = load_config(OBB)
    cfg.pop("train_dataloader")
    with pytest.raises(UserError, match="no train_dataloader"):
        load_records(cfg, None)


def test_unreadable_image(tmp_path):
    (tmp_path / "P0001.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"P0001\.png: cannot read the image's size"):
        build_assignment_input(dict(img_path=str(tmp_path / "P0001.png"), instances=[]), [])


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_size_of_a_record_without_size(tmp_path, suffix):
    path = str(tmp_path / f"a.{suffix}")
    cv2.imwrite(path, np.zeros((30, 50, 3), np.uint8))
    assert build_assignment_input(dict(img_path=path, instances=[]), []).image_wh == (50, 30)
