"""Objects of tiles: truncated, without area, too large, none."""

import logging

import numpy as np

from tests.tiling.dota_folder import ORDINARY, tile_labels


def test_truncated_objects_keep_their_polygon_and_become_difficult_2(tmp_path, make_folder, split):
    """P0706 of DOTA has a vertex 1 px outside the image."""
    lines = [
        "imagesource:GoogleEarth",
        "gsd:null",
        "-1 20 40 20 40 40 0 40 ship 0",  # 1 px outside
        "0 0 128 0 128 128 0 128 harbor 1",  # the whole window
        "98 10 138 10 138 30 98 30 plane 1",  # 0.75 in the first window
        "105 50 145 50 145 60 105 60 plane 1",  # 0.575 in the first window
        "170.5 60 180.25 60 180.25 70 170.5 70 small-vehicle",
    ]
    folders = make_folder(tmp_path, {"P1.png": (224, 128)}, {"P1.png": lines})
    result = split(*folders, tmp_path / "out")
    left, right = tile_labels(tmp_path / "out", "P1__128__0___0"), tile_labels(tmp_path / "out", "P1__128__96___0")
    assert left.names == ("ship", "harbor", "plane")
    assert left.difficult.tolist() == [2, 1, 2]
    assert left.polygons[0].tolist() == [-1, 20, 40, 20, 40, 40, 0, 40]
    assert right.names == ("plane", "plane", "small-vehicle")
    assert right.difficult.tolist() == [1, 1, 0]
    assert right.polygons[2].tolist() == [74.5, 60, 84.25, 60, 84.25, 70, 74.5, 70]
    assert (result.totals.objects_in_images, result.totals.objects_in_tiles, result.totals.truncated) == (5, 6, 2)


def test_decimal_coordinates_inside_are_not_truncated(tmp_path, make_folder, split):
    """Areas in mmrotate are float32, so it flags about half of these objects as truncated."""
    rng = np.random.default_rng(0)
    boxes = (
        rng.uniform(1, 90, (50, 1, 2)) + np.array([[0, 0], [30, 0], [30, 30], [0, 30]]) + rng.uniform(0, 5, (50, 4, 2))
    )
    lines = [" ".join(f"{value:.3f}" for value in box.ravel()) + " ship 0" for box in boxes]
    folders = make_folder(tmp_path, {"P1.png": (128, 128)}, {"P1.png": lines})
    split(*folders, tmp_path / "out")
    labels = tile_labels(tmp_path / "out", "P1__128__0___0")
    assert len(labels) == 50
    assert not labels.difficult.any()


def test_objects_without_area_are_counted_and_reported_once(tmp_path, caplog, make_folder, split):
    lines = ["gsd:1", ORDINARY, "5 5 5 5 5 5 5 5 ship 0", "1 1 9 9 5 5 1 1 ship 0"]
    folders = make_folder(tmp_path, {"P1.png": (300, 300), "P2.png": (100, 100)}, {"P1.png": lines, "P2.png": lines})
    with caplog.at_level(logging.WARNING):
        result = split(*folders, tmp_path / "out")
    assert [record.getMessage() for record in caplog.records] == [
        f"left out 4 objects without area, the first at {folders[1] / 'P1.txt'}:3"
    ]
    assert result.totals.without_area == 4
    assert result.totals.in_no_tile == 0


def test_objects_too_large_for_any_tile_are_counted(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {"P1.png": (300, 300)}, {"P1.png": [ORDINARY, "0 0 290 0 290 290 0 290 harbor 0"]})
    assert split(*folders, tmp_path / "out").totals.in_no_tile == 1
    assert split(*folders, tmp_path / "more", rates=[1.0, 0.4]).totals.in_no_tile == 0


def test_headerless_empty_label_file_is_an_image_without_objects(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {"P1.png": (90, 90)}, {"P1.png": []})
    split(*folders, tmp_path / "out")
    assert (tmp_path / "out" / "labelTxt" / "P1__128__0___0.txt").read_bytes() == b""
