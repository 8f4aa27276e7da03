"""Shards of one merge: any order, any stop and any number at once give the files of a single run."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from rotated_atss.dota.detections import Detections, task1_path, write_detections
from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock
from rotated_atss.io.shards import Shard
from rotated_atss.io.shared_run import SharedRun
from rotated_atss.tiling import merge_shards
from rotated_atss.tiling.merge_shards import PARTIAL, finished_path
from rotated_atss.tiling.merge_task import MergeTask
from rotated_atss.tiling.merge_text import merge_folder, merge_shard
from tests.io.killed_shard import KILL_AT_THIRD_RECORD

ROOT = Path(__file__).resolve().parents[2]


def write_tiles(folder, num_images=12, order="grouped"):
    """Two classes with detections on tiles of ``num_images`` images; ``order`` says whether their lines are grouped."""
    folder.mkdir(parents=True)
    for seed, name in enumerate(("plane", "ship")):
        rng = np.random.default_rng(seed)
        images = np.sort(rng.integers(0, num_images, 400))
        if order != "grouped":
            images = rng.permutation(images)
        names = [f"P{image:02d}__1024__{824 * column}___0" for image, column in zip(images, rng.integers(0, 2, 400))]
        corners = np.array([0.0, 0, 40, 5, 45, 45, 5, 40]) + np.tile(rng.uniform(0, 300, (400, 2)), 4)
        detections = Detections.from_ids(names, rng.permutation(400) / 400, np.round(corners, 1))
        write_detections(task1_path(folder, name), detections)
    return folder


@pytest.fixture(params=["grouped", "mixed"])
def tiles(tmp_path, monkeypatch, request):
    """A folder of tile detections that is cut into many parts."""
    monkeypatch.setattr(merge_shards, "_PART_BYTES", 3000)
    return write_tiles(tmp_path / "tiles", order=request.param)


def merge(tiles, out, shard=None, **options):
    options = {"workers": 1, "progress": False, "classes": ["plane", "roof", "ship"], **options}
    return merge_folder(tiles, out, **options) if shard is None else merge_shard(tiles, out, shard, **options)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2], [2, 2, 3, 1]])
def test_shards_equal_one_run(tmp_path, tiles, order):
    whole = merge(tiles, tmp_path / "whole")
    results = [merge(tiles, tmp_path / "out", Shard(index, 3)) for index in order]
    assert [bool(result.unfinished) for result in results] == [True] * (len(order) - 1) + [False]
    assert list(results[-1].classes) == whole
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert b"P01 " in files_of(tmp_path / "out")["Task1_ship.txt"]


def test_every_shard_has_work(tmp_path, tiles):
    for index in (1, 2, 3):
        result = merge(tiles, tmp_path / "out", Shard(index, 4))
        assert [str(shard) for shard in result.unfinished] == [f"{other}/4" for other in range(index + 1, 5)]
        records = tmp_path / "out" / PARTIAL / f"finished-{index}-of-4.jsonl"
        assert records.read_bytes().count(b"\n") >= 3


def test_a_killed_shard_is_continued(tmp_path, tiles, monkeypatch):
    whole = merge(tiles, tmp_path / "whole")
    merge(tiles, tmp_path / "out", Shard(2, 2))
    program = f"""{KILL_AT_THIRD_RECORD}from rotated_atss.tiling import merge_shards
from rotated_atss.tiling.merge_text import merge_shard
merge_shards._PART_BYTES = {merge_shards._PART_BYTES}
options = dict(workers=1, progress=False, classes=["plane", "roof", "ship"])
merge_shard({str(tiles)!r}, {str(tmp_path / "out")!r}, Shard(1, 2), **options)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == -signal.SIGKILL
    assert (tmp_path / "out/.merge.1-of-2.lock").exists()
    records = tmp_path / "out" / PARTIAL / "finished-1-of-2.jsonl"
    assert records.read_bytes().count(b"\n") == 2
    num_parts = len(MergeTask.create(tiles, tmp_path / "out", 0.1, None).cut(merge_shards._PART_BYTES)[::2])
    repeated, record = [], SharedRun.record
    monkeypatch.setattr(SharedRun, "record", lambda run, key, result: repeated.append(key) or record(run, key, result))
    assert list(merge(tiles, tmp_path / "out", Shard(1, 2)).classes) == whole
    assert len(repeated) == num_parts - 2
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_run_without_a_shard_does_what_is_left(tmp_path, tiles):
    whole = merge(tiles, tmp_path / "whole")
    merge(tiles, tmp_path / "out", Shard(2, 3))
    assert merge(tiles, tmp_path / "out") == whole
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_finished_merge_is_recognized(tmp_path, tiles):
    for index in (1, 2):
        merge(tiles, tmp_path / "out", Shard(index, 2))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert finished_path(tmp_path / "out").exists()
    assert merge(tiles, tmp_path / "out", Shard(1, 2)).was_finished
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert not merge(tiles, tmp_path / "out", Shard(1, 2), iou_threshold=0.3).was_finished


def test_a_run_that_was_killed_after_the_files_were_written(tmp_path, tiles, monkeypatch):
    whole = merge(tiles, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(SharedRun, "remove", lambda run: None)
        for index in (1, 2):
            merge(tiles, tmp_path / "out", Shard(index, 2))
    assert merge(tiles, tmp_path / "out") == whole
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_locks_of_killed_shards_do_not_stay_in_the_result(tmp_path, tiles):
    merge(tiles, tmp_path / "out", Shard(1, 2))
    (tmp_path / "out/.merge.1-of-2.lock").touch()  # killed after its last part
    merge(tiles, tmp_path / "out", Shard(2, 2))
    assert sorted(files_of(tmp_path / "out")) == ["Task1_plane.txt", "Task1_roof.txt", "Task1_ship.txt"]


def test_a_changed_input_is_merged_again(tmp_path, tiles):
    merge(tiles, tmp_path / "out", Shard(1, 2))
    path = task1_path(tiles, "ship")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-40]))
    assert [str(shard) for shard in merge(tiles, tmp_path / "out", Shard(2, 2)).unfinished] == ["1/2"]
    merge(tiles, tmp_path / "out", Shard(1, 2))
    merge(tiles, tmp_path / "whole")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iou_threshold": 0.3}, "--iou-threshold is '0.3', was '0.1'"),
        ({"classes": ["plane", "ship"]}, "--classes is 'plane, ship', was 'plane, roof, ship'"),
        ({"shard": Shard(2, 3)}, "number of shards is '3', was '2'"),
    ],
)
def test_shards_of_another_run_are_refused(tmp_path, tiles, change, words):
    merge(tiles, tmp_path / "out", Shard(1, 2))
    with pytest.raises(UserError, match=rf"merge\.partial: shards of another run are in this folder: {words} \(repeat"):
        merge(tiles, tmp_path / "out", **{"shard": Shard(2, 2), **change})


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (("plane",), ("plane", "ship"), "Task1_ship.txt is new"),
        (("plane", "ship"), ("ship",), "Task1_plane.txt is missing"),
    ],
)
def test_files_that_are_added_or_removed_between_shards_without_a_class_list(tmp_path, tiles, first, second, words):
    for number, names in enumerate((first, second), start=1):
        folder = tmp_path / f"set{number}"
        folder.mkdir()
        for name in names:
            os.link(task1_path(tiles, name), task1_path(folder, name))
    (tmp_path / "set1").rename(tmp_path / "in")
    assert merge(tmp_path / "in", tmp_path / "out", Shard(1, 2), classes=None).unfinished
    (tmp_path / "in").rename(tmp_path / "set1")
    (tmp_path / "set2").rename(tmp_path / "in")
    hint = "the input files have changed: remove this folder to start over"
    with pytest.raises(UserError, match=rf"merge\.partial: .*: Task1 files: {words} \({hint}\)"):
        merge(tmp_path / "in", tmp_path / "out", Shard(2, 2), classes=None)
    with pytest.raises(UserError, match=r"--classes is '.*', was not given \(repeat the command with its earlier"):
        merge(tmp_path / "in", tmp_path / "out", Shard(2, 2), classes=["plane", "ship"])
    shutil.rmtree(tmp_path / "out" / PARTIAL)
    merge(tmp_path / "in", tmp_path / "out", Shard(2, 2), classes=None)
    merge(tmp_path / "in", tmp_path / "out", Shard(1, 2), classes=None)
    merge(tmp_path / "in", tmp_path / "whole", classes=None)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_the_same_shard_and_a_whole_run_are_refused_while_a_shard_runs(tmp_path, tiles):
    merge(tiles, tmp_path / "out", Shard(2, 3))
    with run_lock(tmp_path / "out" / ".merge.1-of-3.lock"):
        for shard in (None, Shard(1, 3)):
            with pytest.raises(UserError, match=r"1-of-3\.lock: another run writes into this folder"):
                merge(tiles, tmp_path / "out", shard)
        assert merge(tiles, tmp_path / "out", Shard(3, 3)).unfinished == (Shard(1, 3),)


def test_a_malformed_line_stops_only_its_shard(tmp_path, tiles):
    with open(task1_path(tiles, "ship"), "a") as file:
        file.write("P99__1024__0___0 0.9 1 2 3\n")
    parts = MergeTask.create(tiles, tmp_path / "out", 0.1, None).cut(merge_shards._PART_BYTES)
    wrong = 1 + (len(parts) - 1) % 3  # the shard of the last part
    for index in {1, 2, 3} - {wrong}:
        assert Shard(wrong, 3) in merge(tiles, tmp_path / "out", Shard(index, 3)).unfinished
    with pytest.raises(UserError, match=r"Task1_ship\.txt:401: a detection line must have 10 fields"):
        merge(tiles, tmp_path / "out", Shard(wrong, 3))
    assert not list((tmp_path / "out").glob("Task1_*"))


def test_shards_that_end_at_the_same_time(tmp_path, tiles):
    merge(tiles, tmp_path / "whole")
    results = {}
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: merge(tiles, tmp_path / "out", Shard(i, 4))}))
        for i in (1, 2, 3, 4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert sum(bool(result.classes) for result in results.values()) == 1
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_processes_of_a_job_array(tmp_path):
    tiles = write_tiles(tmp_path / "tiles")
    merge(tiles, tmp_path / "whole")
    words = ["merge", tiles, "--out", tmp_path / "out", "--classes", "plane,roof,ship", "--workers", "1"]
    command = [sys.executable, "-m", "rotated_atss", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": {**os.environ}}
    shards = [subprocess.Popen([*command, "--shard", f"{index}/2"], cwd=ROOT, **pipes) for index in (1, 2)]
    texts = [shard.communicate()[0] for shard in shards]
    assert [shard.returncode for shard in shards] == [0, 0], texts
    assert sum("written to" in text for text in texts) == 1
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
