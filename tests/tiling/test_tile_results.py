"""Lines of a test on tiles without labels or detections."""

import numpy as np

from rotated_atss.tiling.merge_boxes import BoxDetections
from rotated_atss.tiling.tile_results import ResultOptions, finish_test


def test_missing_labels_and_detections_are_stated(tmp_path):
    empty = BoxDetections("P1", np.zeros((0, 5)), np.zeros(0), np.zeros(0, int))
    lines = []
    options = ResultOptions(submission=tmp_path / "s.zip", report_dir=tmp_path / "report")
    assert finish_test([empty], ["ship"], options, log=lines.append) == {}
    assert lines[1] == f"wrote {tmp_path / 's.zip'}, which contains no detection"
    assert "nothing is evaluated, no report is written" in lines[2]
    assert not (tmp_path / "report").exists()
