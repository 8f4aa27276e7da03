"""Merging of tile detections as arrays, compared with known positions and with the merging of text files."""

import math

import numpy as np
import pytest

from rotated_atss.dota.detections import Detections, read_detections, task1_path, write_detections
from rotated_atss.ops.box_polygons import box_polygons
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes, to_task1
from rotated_atss.tiling.merge_text import merge_folder

CLASSES = ("plane", "ship")


def tile(name, boxes, scores, labels=None):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 5)
    labels = np.zeros(len(boxes), dtype=np.int64) if labels is None else np.array(labels)
    return BoxDetections(name, boxes, np.array(scores, dtype=np.float32).reshape(-1), labels)


def on_tile(box, x, y, rate):
    cx, cy, w, h, angle = box
    return [cx * rate - x, cy * rate - y, w * rate, h * rate, angle]


BOX = [900.0, 1000.0, 80.0, 30.0, 0.6]


@pytest.mark.parametrize(
    ("name", "x", "y", "rate"),
    [
        ("P0001__1024__824___824", 824, 824, 1),  # a window size
        ("P0001__2048__0___512", 0, 512, 1),
        ("P0001__0.5__412___0", 412, 0, 0.5),  # a rate
        ("P0001__1__824___824", 824, 824, 1),
        ("P0001__1.0__0___824", 0, 824, 1),
        ("P0001__1.5__824___824", 824, 824, 1.5),
        ("P0001__2__1000___1000", 1000, 1000, 2),
        ("P0001__1024__-50___-20", -50, -20, 1),
    ],
)
def test_detections_are_mapped_to_the_full_image(name, x, y, rate):
    (image,) = merge_boxes([tile(name, [on_tile(BOX, x, y, rate)], [0.9])])
    assert image.name == "P0001"
    assert image.boxes.dtype == np.float64
    np.testing.assert_allclose(image.boxes, [BOX], atol=1e-3)


def test_duplicates_are_suppressed_per_class():
    tiles = [
        tile("P1__1024__0___0", [BOX, [100, 100, 40, 20, 0]], [0.8, 0.3], [1, 0]),
        tile("P1__1024__824___824", [on_tile(BOX, 824, 824, 1)], [0.9], [1]),
        tile("P1__0.5__0___0", [on_tile(BOX, 0, 0, 0.5), on_tile(BOX, 0, 0, 0.5)], [0.7, 0.6], [1, 0]),
        tile("P0__1024__0___0", [BOX], [0.5], [1]),
        tile("P2__1024__0___0", [], []),
    ]
    merged = merge_boxes(tiles)
    assert [image.name for image in merged] == ["P0", "P1", "P2"]
    assert merged[1].scores.tolist() == pytest.approx([0.9, 0.6, 0.3])
    assert merged[1].labels.tolist() == [1, 0, 0]
    assert len(merged[0].boxes) == 1
    assert merged[2].boxes.shape == (0, 5)


def test_iou_threshold():
    boxes = [[50.0, 50, 40, 20, 0], [60.0, 50, 40, 20, 0]]  # IoU 0.6
    both = [tile("P1__1024__0___0", boxes, [0.9, 0.8])]
    assert len(merge_boxes(both, 0.59)[0].boxes) == 1
    assert len(merge_boxes(both, 0.61)[0].boxes) == 2


def test_order_of_the_tiles_does_not_matter():
    tiles = [tile(f"P1__1024__{x}___0", [on_tile(BOX, x, 0, 1)], [0.5]) for x in (0, 200, 400, 600)]
    tiles += [tile(f"P1__1024__{x}___824", [[30.0 + x / 10, 40, 20, 10, 0.1]], [0.5]) for x in (0, 824)]
    first, second = merge_boxes(tiles), merge_boxes(tiles[::-1])
    assert np.array_equal(first[0].boxes, second[0].boxes)
    assert np.array_equal(first[0].scores, second[0].scores)


@pytest.mark.parametrize("name", ["P0001", "img__a", "P1__0__0___0", "P1__1024__0__0"])
def test_other_names_are_full_images(name):
    (image,) = merge_boxes([tile(name, [BOX], [0.9])])
    assert image.name == name
    np.testing.assert_allclose(image.boxes, [BOX], rtol=1e-6)


def test_no_tiles():
    assert merge_boxes([]) == []
    empty = to_task1([], CLASSES)
    assert list(empty) == list(CLASSES)
    assert all(len(each) == 0 for each in empty.values())


def test_task1_keeps_distinct_scores_and_empty_classes():
    scores = np.array([0.5, 0.5 + 2**-24, 0.5 + 2**-23, 0.123456789, 1e-5], np.float32)  # adjacent float32 values
    boxes = [[100.0 * index, 50, 40, 20, 0.3] for index in range(5)]
    image = tile("P1", boxes, scores.tolist(), [1] * 5)
    detections = to_task1([image], CLASSES)
    assert len(detections["plane"]) == 0
    assert detections["ship"].image_ids.tolist() == ["P1"] * 5
    assert np.array_equal(detections["ship"].scores.astype(np.float32), scores)
    assert np.abs(detections["ship"].polygons - box_polygons(image.boxes)).max() <= 0.005 + 1e-9


def random_tiles(seed, names):
    """Tiles of random boxes; boxes in several tiles differ by a little noise."""
    draw = np.random.default_rng(seed)
    tiles = []
    for name, x, y, rate in names:
        objects = np.random.default_rng(99).uniform((0, 0, 20, 10, -1.5), (1500, 1500, 90, 40, 1.5), (150, 5))
        inside = np.abs(objects[:, :2] * rate - (x + 512, y + 512)).max(1) < 512
        boxes = np.array([on_tile(box, x, y, rate) for box in objects[inside]]) + draw.normal(0, 0.3, (inside.sum(), 5))
        boxes[:, 4] = objects[inside, 4]
        tiles.append(
            tile(name, boxes.tolist(), draw.uniform(0.05, 1, len(boxes)).tolist(), draw.integers(0, 2, len(boxes)))
        )
    return tiles


def test_same_as_merging_text_files(tmp_path):
    names = [(f"P{i}__1024__{x}___{y}", x, y, 1) for i in (1, 2) for x in (0, 476) for y in (0, 476)]
    names += [("P1__0.5__0___0", 0, 0, 0.5), ("P2__1.5__824___824", 824, 824, 1.5)]
    tiles = random_tiles(0, names)
    as_text = to_task1(tiles, CLASSES)
    for name, detections in as_text.items():
        write_detections(task1_path(tmp_path / "tiles", name), detections)
    merge_folder(tmp_path / "tiles", tmp_path / "merged", workers=1, progress=False)
    merged = to_task1(merge_boxes(tiles), CLASSES)
    for name in CLASSES:
        assert_same(merged[name], read_detections(task1_path(tmp_path / "merged", name)))
        assert 50 < len(merged[name]) < 0.7 * len(as_text[name])


def assert_same(first: Detections, second: Detections):
    def rows(detections):
        order = np.lexsort((detections.scores, detections.image_ids))
        return detections.image_ids[order].tolist(), detections.scores[order], detections.polygons[order]

    (ids1, scores1, polygons1), (ids2, scores2, polygons2) = rows(first), rows(second)
    assert ids1 == ids2
    assert np.array_equal(scores1, scores2)
    assert np.abs(polygons1 - polygons2).max() < 0.03  # rounded to 0.01 px, and divided by a rate of 0.5


def test_rotated_box_of_a_resampled_tile_keeps_its_corners():
    box = [300.0, 200.0, 60.0, 20.0, math.pi / 3]
    (image,) = merge_boxes([tile("P1__0.5__100___50", [on_tile(box, 100, 50, 0.5)], [0.9])])
    np.testing.assert_allclose(box_polygons(image.boxes), box_polygons([box]), atol=1e-4)
