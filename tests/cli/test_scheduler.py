"""Commands with --scheduler write the same bytes as local processes, also if a worker is killed in the middle.

``split`` and ``predict`` lose a worker; merge and check-data do not.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import cv2
import numpy as np
import pytest

from benchmarks.reliability.stub_predict import StubDetector
from rotated_atss.cli import _cluster_prediction, main, predict

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    """A folder with 12 images, labels with problems, and Task1 files of tiles."""
    rng = np.random.default_rng(0)
    for name in ("images", "labelTxt", "task1"):
        (tmp_path / name).mkdir()
    rows = {"ship": [], "plane": []}
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"images/P{number}.png"), rng.integers(0, 256, (200, 260, 3), dtype=np.uint8))
        text = f"20 30 60 30 60 50 20 50 ship 0\n100 90 {150 + number} 90 160 130 100 130 plane 1\n"
        (tmp_path / f"labelTxt/P{number}.txt").write_text(text * (1 + number % 2))
        for lines in rows.values():
            for score in rng.uniform(size=20).round(3):
                x, y = rng.integers(0, 90, 2)
                lines.append(f"P{number}__128__0___0 {score} {x} {y} {x + 20} {y} {x + 20} {y + 9} {x} {y + 9}\n")
    for name, lines in rows.items():
        (tmp_path / f"task1/Task1_{name}.txt").write_text("".join(lines))
    return tmp_path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_when_written(cluster, folder, files):
    """Kill one worker process of a cluster once a folder has a number of files; return the thread that does."""
    victim = cluster.worker_pids()[0]

    def kill():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and sum(path.is_file() for path in folder.rglob("*.png")) < files:
            time.sleep(0.005)
        os.kill(victim, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_split_writes_the_same_tiles(folder, own_dask_cluster, monkeypatch):
    monkeypatch.chdir(folder)  # relative paths are made absolute
    words = ["split", "--images", "images", "--labels", "labelTxt", "--size", "64", "--gap", "8", "--quiet"]
    assert main([*words, "--out", "local", "--workers", "1"]) == 0
    thread = kill_when_written(own_dask_cluster, folder / "cluster", files=30)
    assert main([*words, "--out", "cluster", "--scheduler", own_dask_cluster.scheduler_address]) == 0
    thread.join()
    local = contents(folder / "local")
    assert contents(folder / "cluster") == local
    assert len(local) > 200


def test_merge_writes_the_same_files(folder, dask_cluster):
    words = ["merge", str(folder / "task1"), "--quiet", "--out"]
    assert main([*words, str(folder / "local"), "--workers", "1"]) == 0
    assert main([*words, str(folder / "cluster"), "--scheduler", dask_cluster.scheduler_address]) == 0
    local = contents(folder / "local")
    assert contents(folder / "cluster") == local
    assert b"P11 " in local["Task1_ship.txt"]


def test_check_data_reports_the_same_problems(folder, dask_cluster):
    words = ["check-data", "--images", folder / "images", "--labels", folder / "labelTxt", "--quiet", "--json"]
    assert main([*map(str, words), str(folder / "local.json"), "--workers", "1"]) == 1
    assert main([*map(str, words), str(folder / "b.json"), "--scheduler", dask_cluster.scheduler_address]) == 1
    local, cluster = (json.loads((folder / name).read_text()) for name in ("local.json", "b.json"))
    assert local["counts"] == {"duplicate-object": 12}
    assert {**cluster, "seconds": 0} == {**local, "seconds": 0}


class StubSource(_cluster_prediction.ModelSource):
    """A model that workers load at once."""

    def load_once(self):
        return StubDetector()


def test_predict_writes_the_same_files(folder, own_dask_cluster, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(predict, "load_any_detector", lambda *_: StubDetector())
    monkeypatch.setattr(predict, "ModelSource", StubSource)
    (folder / "model.pth").write_bytes(b"never read")
    (folder / "images/P5.png").write_text("no image")
    words = ["predict", "model.pth", "images", "--size", "96", "--gap", "8"]
    assert main([*words, "--out", "local"]) == 2
    thread = kill_when_written(own_dask_cluster, folder / "cluster", files=3)
    assert main([*words, "--out", "cluster", "--scheduler", own_dask_cluster.scheduler_address]) == 2
    thread.join()
    assert contents(folder / "cluster") == contents(folder / "local")
    assert sum(map(len, contents(folder / "local/detections").values())) > 1000
    assert capsys.readouterr().out.count("1 of 12 images failed") == 2


def test_a_folder_that_the_workers_do_not_see(folder, dask_cluster, monkeypatch, user_error):
    monkeypatch.setattr("rotated_atss.io.cluster.describe_worker", hide_every_path)
    words = ["merge", folder / "task1", "--out", folder / "out", "--scheduler", dask_cluster.scheduler_address]
    assert f"does not see {folder}/task1 (inputs and output must be" in user_error(*words)


def hide_every_path(paths):
    from rotated_atss import __version__

    return __version__, paths
