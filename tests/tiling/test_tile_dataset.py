"""The dataset of tiles: pixels, boxes, offsets, loader processes and errors."""

from __future__ import annotations

import logging
import math

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from rotated_atss.dota.labels import Labels
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import ANGLE_VERSIONS, normalize_obb
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes
from rotated_atss.tiling.tile_dataset import TileDataset, collate_tiles, to_tile_objects

LINES = ["10 10 60 10 60 40 10 40 ship 1", "150 120 170 140 160 150 140 130 small-vehicle 0", "3 3 3 3 3 3 3 3 ship 0"]


@pytest.fixture
def folders(make_folder, tmp_path):
    """Folders of two images and their labels."""
    return make_folder(tmp_path / "in", {"P1.png": (200, 180), "P2.png": (200, 180)}, {"P1.png": LINES})


@pytest.fixture
def tiles(folders, split, tmp_path):
    """The output folder of their split into four tiles of 128 px each."""
    split(*folders, tmp_path / "tiles")
    return tmp_path / "tiles"


def test_images_are_rgb_and_targets_are_those_of_the_labels(tiles):
    dataset = TileDataset(tiles, ["small-vehicle", "ship"])
    names = [path.stem for path in sorted((tiles / "images").iterdir())]
    assert [dataset[index][1]["name"] for index in range(len(dataset))] == names
    image, target = dataset[names.index("P1__128__0___0")]
    assert (image.shape, image.dtype) == ((3, 128, 128), torch.uint8)
    expected = cv2.imread(str(tiles / "images" / "P1__128__0___0.png"))
    assert np.array_equal(image.numpy()[::-1].transpose(1, 2, 0), expected)
    assert target["boxes"].tolist() == [[35, 25, 50, 30, 0]]
    assert (target["boxes"].dtype, target["labels"].dtype) == (torch.float32, torch.int64)
    assert (target["labels"].tolist(), target["difficult"].tolist()) == ([1], [1])
    assert (target["offset"].tolist(), target["rate"]) == ([0, 0], 1.0)


def test_offset_and_rate_map_boxes_to_the_image(folders, split, tmp_path):
    split(*folders, tmp_path / "tiles", sizes=[64], gaps=[16], rates=(1.0, 0.5), name_style="devkit")
    dataset = TileDataset(tmp_path / "tiles")
    assert dataset.classes == ("ship", "small-vehicle")
    rates = set()
    for _, target in dataset:
        rates.add(target["rate"])
        boxes = target["boxes"].double()
        moved = (boxes[:, :2] + target["offset"]) / target["rate"]
        scores, labels = np.ones(len(boxes)), target["labels"].numpy()
        merged = merge_boxes([BoxDetections(target["name"], boxes.numpy(), scores, labels)])
        assert merged[0].boxes[:, :2] == pytest.approx(moved.numpy())
        for box in boxes[target["labels"] == 1]:
            assert ((box[:2] + target["offset"]) / target["rate"]).tolist() == pytest.approx([155, 135], abs=1e-4)
    assert rates == {1.0, 0.5}


@pytest.mark.parametrize("angle_version", ANGLE_VERSIONS)
def test_angle_version(tiles, angle_version):
    dataset = TileDataset(tiles, angle_version=angle_version)
    boxes = torch.cat([target["boxes"] for _, target in dataset])
    assert torch.equal(normalize_obb(boxes, angle_version), boxes)
    expected = {"le90": [0, math.pi / 4], "le135": [0, math.pi / 4], "oc": [math.pi / 2, math.pi / 4]}[angle_version]
    assert boxes[:2, 4].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_loader(tiles, workers):
    loader = DataLoader(TileDataset(tiles), batch_size=3, num_workers=workers, collate_fn=collate_tiles)
    batches = list(loader)
    assert sum(len(targets) for _, targets in batches) == len(TileDataset(tiles))
    for images, targets in batches:
        assert images.shape == (len(targets), 3, 128, 128)
    names = [target["name"] for _, targets in batches for target in targets]
    assert names == sorted(names)


def test_images_of_different_sizes_are_padded_on_the_right_and_at_the_bottom():
    small, large = torch.full((3, 4, 9), 7, dtype=torch.uint8), torch.full((3, 8, 6), 5, dtype=torch.uint8)
    images, _ = collate_tiles([(small, {}), (large, {})])
    assert torch.equal(images[0, :, :4, :9], small)
    assert torch.equal(images[1, :, :8, :6], large)
    assert images.sum() == small.sum() + large.sum()


def test_transform_may_change_the_target_in_place(tiles):
    def double(image, target):
        target["boxes"] *= 2
        return image, target

    dataset = TileDataset(tiles, transform=double)
    plain = TileDataset(tiles)
    for _ in range(2):
        assert torch.equal(dataset[0][1]["boxes"], plain[0][1]["boxes"] * 2)


def test_unlabeled_folder_and_images_that_are_no_tiles(write_image, tmp_path):
    write_image(tmp_path / "images" / "harbor.png", 40, 30)
    ((image, target),) = TileDataset(tmp_path)
    assert image.shape == (3, 30, 40)
    assert sorted(target) == ["name", "offset", "rate"]
    assert (target["name"], target["offset"].tolist(), target["rate"]) == ("harbor", [0, 0], 1.0)


def test_objects_with_crossing_sides_are_kept_as_in_splitting():
    bow_tie = np.array([[0.0, 0, 20, 10, 20, 0, 0, 10]])  # signed area 0
    labels = Labels(bow_tie, ("ship",), np.array([0]), np.array([1]))
    objects = to_tile_objects(labels, ["ship"])
    assert objects.without_area == ()
    assert objects.boxes[0, :4].tolist() == [10, 5, 20, 10]


def test_objects_without_area_are_left_out_and_named(write_image, tmp_path, caplog):
    write_image(tmp_path / "images" / "P1.png", 40, 30)
    (tmp_path / "labelTxt").mkdir()
    (tmp_path / "labelTxt" / "P1.txt").write_text("\n".join(LINES))
    with caplog.at_level(logging.WARNING):
        assert len(TileDataset(tmp_path)[0][1]["boxes"]) == 2
    assert f"left out 1 object without area, the first at {tmp_path / 'labelTxt' / 'P1.txt'}:3" in caplog.text


def test_wrong_folders_classes_and_settings(tiles, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        TileDataset(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"P1__128__0___0.txt:1: unknown class 'ship'"):
        TileDataset(tiles, ["small-vehicle"])
    with pytest.raises(ValueError, match="angle_version must be one of"):
        TileDataset(tiles, angle_version="le45")
    (tiles / "images" / "P1__128__0___0.png").unlink()
    (tiles / "labelTxt" / "P1__128__0___0.txt").unlink()
    with pytest.raises(UserError, match=r"1 of the \d+ tiles of the manifest is missing, the first is P1__128__0___0"):
        TileDataset(tiles)
    assert len(TileDataset(tiles, allow_missing_tiles=True)) > 1
