"""Reading in processes gives what reading in one process gives."""

import json

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.parallel_reading import read_label_set_parallel
from rotated_atss.label_formats.reading import read_label_set

FILES = 230  # three jobs


def write_dota(root):
    for number in range(FILES):
        (root / f"P{number}.txt").write_text(f"{number} 2 {number + 11} 2 {number + 11} 8 {number} 8 ship 0\n")


def write_yolo(root):
    import cv2

    for number in range(FILES):
        (root / f"P{number}.txt").write_text(f"{number % 2} 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n")
        cv2.imwrite(str(root / f"P{number}.png"), np.zeros((10 + number, 20, 3), np.uint8))
    (root / "classes.txt").write_text("plane\nship\n")


def same(first, second):
    assert (first.format_name, first.classes, first.notes) == (second.format_name, second.classes, second.notes)
    assert [image.name for image in first.images] == [image.name for image in second.images]
    for one, two in zip(first.images, second.images):
        assert one.classes == two.classes
        assert np.array_equal(one.polygons, two.polygons)


@pytest.mark.parametrize("write", [write_dota, write_yolo], ids=["dota", "yolo-obb"])
def test_processes_give_the_same_labels(tmp_path, write):
    write(tmp_path)
    folder = tmp_path if write is write_yolo else None
    parallel = read_label_set_parallel(tmp_path, image_folder=folder, workers=2)
    same(parallel, read_label_set(tmp_path, images=ImageFiles(tmp_path) if folder else None, fit_polygons=True))
    assert sum(map(len, parallel.images)) == FILES


def test_an_error_in_a_process_is_one_line(tmp_path):
    write_dota(tmp_path)
    (tmp_path / "P150.txt").write_text("1 2 3\n")
    with pytest.raises(UserError, match=r"P150\.txt:1: a label line must have 9 or 10 fields"):
        read_label_set_parallel(tmp_path, workers=2)


def test_duplicates_in_different_jobs_are_found(tmp_path):
    for number in range(FILES):
        image = {"id": 1, "file_name": f"P{number % 229}.png", "width": 9, "height": 9}
        content = {"images": [image], "categories": [], "annotations": []}
        (tmp_path / f"{number:03d}.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="the image P0 occurs twice"):
        read_label_set_parallel(tmp_path, "coco", workers=2)


def test_predictions_are_left_out_if_the_file_of_another_job_has_annotations(tmp_path):
    region = {
        "type": "rectanglelabels", "original_width": 20, "original_height": 10,
        "value": {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["ship"]},
    }  # fmt: skip
    for index in range(150):
        key = "annotations" if index == 0 else "predictions"
        task = {"data": {"image": f"P{index:03}.png"}, key: [{"result": [region]}]}
        (tmp_path / f"P{index:03}.json").write_text(json.dumps(task))
    labels = read_label_set_parallel(tmp_path, workers=2)
    assert sum(map(len, labels.images)) == 1
