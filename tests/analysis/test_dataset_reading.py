"""Datasets read from labels of several formats and from COCO JSON."""

import json

import numpy as np
import pytest

from rotated_atss.analysis.dataset_reading import read_coco_objects, read_labeled_images
from rotated_atss.cli import main
from tests.references.datasets import dataset, write_folder


@pytest.fixture
def objects():
    """Objects inside their images: some formats cannot hold others."""
    rng = np.random.default_rng(0)
    images = np.sort(rng.integers(3, size=40))
    sides = rng.uniform(5, 30, (40, 2))
    boxes = np.concatenate((rng.uniform(30, 60, (40, 2)), sides, rng.uniform(-3, 3, (40, 1))), axis=1)
    classes = rng.integers(2, size=40)
    return dataset(boxes, classes=classes, images=images, image_wh=((300, 200), (120, 160), (90, 90)))


@pytest.mark.parametrize("label_format", ["dota", "coco", "voc", "labelme", "yolo-obb"])
def test_every_format_gives_the_same_objects(objects, label_format, tmp_path):
    root = write_folder(tmp_path / "data", objects)
    labels = tmp_path / "converted"
    if label_format == "dota":
        labels = root / "labelTxt"
    else:
        words = [root / "labelTxt", labels, "--to", label_format, "--images", root / "images"]
        assert main(["convert-labels", *map(str, words)]) == 0
    found = read_labeled_images(root / "images", labels)
    assert found.image_names == objects.image_names
    assert found.image_wh.tolist() == objects.image_wh.tolist()
    assert found.image_index.tolist() == objects.image_index.tolist()
    names = [[each.class_names[number] for number in each.class_index] for each in (found, objects)]
    assert names[0] == names[1]
    assert found.size == pytest.approx(objects.size, abs=0.02)


def test_missing_labels_and_images_are_noted(objects, tmp_path):
    root = write_folder(tmp_path / "data", objects)
    (root / "labelTxt" / "P1.txt").unlink()
    (root / "images" / "P2.png").unlink()
    found = read_labeled_images(root / "images", root / "labelTxt")
    assert found.notes == (
        "1 image without labels, the first is P1",
        "1 label file without an image, the first is P2",
    )
    assert found.image_wh.tolist() == [[300, 200], [120, 160], [0, 0]]
    assert 1 not in found.image_index
    assert 2 in found.image_index


def test_ground_resolution_from_labels_and_world_files(objects, tmp_path):
    root = write_folder(tmp_path / "data", objects)
    text = (root / "labelTxt" / "P0.txt").read_text()
    (root / "labelTxt" / "P0.txt").write_text(f"imagesource:x\ngsd:0.25\n{text}")
    pytest.importorskip("pyproj")
    (root / "images" / "P1.pgw").write_text("2 0 0 -2 447001 4426999")
    (root / "images" / "P1.prj").write_text("EPSG:32650")
    found = read_labeled_images(root / "images", root / "labelTxt").ground_resolution
    assert found[0] == 0.25
    assert found[1] == pytest.approx(2, rel=0.01)
    assert np.isnan(found[2])


def test_coco_boxes_without_crowds(tmp_path):
    content = {
        "images": [{"id": 4, "file_name": "b/a.png", "width": 60, "height": 40}],
        "categories": [{"id": 9, "name": "ship"}, {"id": 3, "name": "pier"}],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 3, "bbox": [5, 6, 20, 10]},
            {"id": 2, "image_id": 4, "category_id": 9, "bbox": [5, 6, 20, 10], "iscrowd": 1},
            {"id": 3, "image_id": 4, "category_id": 9, "bbox": [5, 6, 0, 10]},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = read_coco_objects(tmp_path / "a.json")
    assert found.class_names == ("ship", "pier")
    assert found.class_index.tolist() == [1]
    assert (found.image_names, found.image_wh.tolist()) == (("a",), [[60, 40]])
    assert found.extent.tolist() == [20]
    assert found.notes[0] == "1 crowd box left out"
    assert found.notes[1].startswith("1 box without area left out")
