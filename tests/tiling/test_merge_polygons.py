"""Merging of tile detections as polygons, compared with known results and with the merge of the DOTA devkit."""

import numpy as np

from rotated_atss.dota.detections import Detections, list_task1_files, read_detections, task1_path
from rotated_atss.ops.polygon_iou import polygon_ious
from rotated_atss.tiling.merge_polygons import merge_detections, to_full_images
from tests.tiling.task1_rows import rows_of


def detections(*rows):
    """Detections from rows of (tile, score, polygon)."""
    names, scores, polygons = zip(*rows)
    return Detections.from_ids(names, np.array(scores), np.array(polygons, dtype=float))


def test_points_are_shifted_and_divided_by_the_rate():
    point = [1.0, 2, 3, 2, 3, 4, 1, 4]
    merged = to_full_images(
        detections(("P1__1024__100___200", 1, point), ("P1__0.5__100___200", 1, point), ("P2__2__100___200", 1, point))
    )
    assert merged.image_ids.tolist() == ["P1", "P1", "P2"]
    assert merged.polygons[0, :2].tolist() == [101, 202]
    assert merged.polygons[1, :2].tolist() == [202, 404]
    assert merged.polygons[2, :2].tolist() == [50.5, 101]


def test_duplicates_are_suppressed_and_the_order_is_kept():
    left, right = [900.0, 10, 920, 10, 920, 20, 900, 20], [76.0, 10, 96, 10, 96, 20, 76, 20]
    merged = merge_detections(
        detections(
            ("P2__1024__0___0", 0.3, left),
            ("P1__1024__0___0", 0.6, left),
            ("P1__1024__824___0", 0.8, right),
            ("P1__1024__824___0", 0.9, [500.0, 10, 520, 10, 520, 20, 500, 20]),
            ("P2__1024__824___0", 0.3, right),
        )
    )
    assert merged.image_ids.tolist() == ["P2", "P1", "P1"]
    assert merged.scores.tolist() == [0.3, 0.9, 0.8]
    assert merged.polygons[2].tolist() == left


def test_no_detections():
    assert len(merge_detections(Detections.from_ids([], np.empty(0), np.empty((0, 8))))) == 0


def compare_with_recorded(folder, reverse):
    """Count the rows equal to the recorded merge, and those replaced by an overlapping row of the same score."""
    same = ties = 0
    for name, path in list_task1_files(folder / "tile_detections").items():
        tiles = read_detections(path)
        tiles = tiles.take(np.arange(len(tiles))[::-1]) if reverse else tiles
        merged = set(rows_of(merge_detections(tiles, 0.3, path=path)))
        recorded = set(rows_of(read_detections(task1_path(folder / "merged_detections", name))))
        same += len(merged & recorded)
        for image, score, polygon in recorded - merged:
            others = [other[2] for other in merged - recorded if other[:2] == (image, score)]
            ties += bool((polygon_ious(np.array(others), np.array([polygon] * len(others))) > 0.3).any())
    return same, ties


def test_real_tiles_differ_from_the_recorded_merge_by_score_ties_only(shared_data):
    """The devkit sorts equal scores in arbitrary order; 777 of its 857 rows do not depend on that order."""
    folder = shared_data("dota_eval", "nine_images")
    assert compare_with_recorded(folder, reverse=False) == (805, 52)
    assert compare_with_recorded(folder, reverse=True)[0] == 777
