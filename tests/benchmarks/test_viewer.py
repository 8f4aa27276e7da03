"""The benchmark of the report's viewer on small inputs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.bench_viewer import dense_image, measure_pyramid, targets
from benchmarks.memory import family_cpu_seconds
from benchmarks.records import environment
from benchmarks.sections import section
from rotated_atss.report.viewer_data import image_columns


def test_dense_images_hold_the_given_number_of_boxes(tmp_path: Path) -> None:
    image = dense_image(tmp_path / "dense.png", 300, 400)
    columns = image_columns(image, ["plane", "ship", "small-vehicle", "large-vehicle"])
    assert cv2.imread(str(image.path)).shape == (400, 400, 3)
    assert len(columns["objects"]["class"]) == 100
    assert len(columns["detections"]["class"]) == 200
    sizes = np.array([columns["detections"]["length"], columns["detections"]["width"]])
    assert ((sizes > 7) & (sizes < 49)).all()
    assert {"tp", "fp"} == set(columns["detections"]["state"])


def test_a_pyramid_is_measured_in_its_own_process_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "png" / "images" / "a.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), np.zeros((40, 2100, 3), np.uint8))
    row = measure_pyramid(path, 2100, tmp_path / "out")
    assert (row["tiles"], row["levels"], row["file"]) == (5 + 3 + 2 + 1, 4, "png")
    assert 10 < row["peak_mb"] < 1000
    pan = {"task": "pan", "boxes": 5000, "view": "whole image", "in_view": 4900, "frames_per_second": 31.0}
    small = {**pan, "boxes": 1000, "frames_per_second": 12.0}
    met = {each["name"]: each["met"] for each in targets([small, pan, row])}
    assert met == {
        "viewer: frames per second, 5,000 boxes": True,
        "viewer: peak MB of writing a tile pyramid": True,
    }
    settings = {"size": 4000, "browser": "chrome 1"}
    text = section({"name": "viewer", "environment": environment(), "settings": settings, "rows": [pan, row]})
    assert "| 5,000 | whole image | 4,900 | 31 |" in text
    assert f"| 2,100 | png, 0 MB | {row['seconds']:.3g} |" in text


def test_nothing_measured_is_no_met_target() -> None:
    assert [each["met"] for each in targets([])] == [None, None]


def test_cpu_time_counts_what_a_process_and_its_children_have_used() -> None:
    if family_cpu_seconds(os.getpid()) is None:
        pytest.skip("no /proc")
    busy = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    with subprocess.Popen([sys.executable, "-c", busy], start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 60
            while (seconds := family_cpu_seconds(process.pid) or 0.0) < 0.3:
                assert time.monotonic() < deadline, f"only {seconds} s"
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
