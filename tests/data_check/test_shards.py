"""Shards of one check: any order, any stop and any number at once give the report of a single run."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rotated_atss.data_check import file_jobs
from rotated_atss.data_check.check import check_data
from rotated_atss.data_check.parts import DataPart
from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock
from rotated_atss.io.shards import Shard
from rotated_atss.io.shared_run import SharedRun
from rotated_atss.label_formats.convert import convert_labels
from tests.data_check.conftest import SHIP, write_image, write_labels
from tests.data_check.test_coco_file import annotation, write_coco
from tests.io.killed_shard import KILL_AT_THIRD_RECORD

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def small_jobs(monkeypatch):
    """Let a job read two label files, so that few files give work to several shards."""
    monkeypatch.setattr(file_jobs, "FILES_PER_JOB", 2)


@pytest.fixture
def parts(tmp_path, add_image):
    """Train and val with problems of files, of lines, of pairs and between the parts."""
    first = add_image("train/P1.png", "gsd:0.5", SHIP, SHIP, "1 2 3")
    for number in range(2, 7):
        add_image(f"train/P{number}.png", SHIP, "10 50 60 50 60 70 10 70 Ship 0", "200 20 260 20 260 40 200 40 car 1")
        add_image(f"val/V{number}.png", "10 80 10 90 30 90 30 80 ship true")
    shutil.copy(first, tmp_path / "val/images/copy.png")  # leaked, and without labels
    (tmp_path / "train/images/cut.png").write_bytes(first.read_bytes()[:900])
    (tmp_path / "val/images/empty.jpg").touch()
    add_image("val/V9.bmp", SHIP, seed=sum(b"train/P2.png"))  # the pixels of train/P2.png
    write_labels(tmp_path / "val", "no_image", SHIP)
    return [DataPart(tmp_path / name / "images", tmp_path / name / "labelTxt") for name in ("train", "val")]


def check(parts, records=None, shard=None, **options):
    return check_data(parts, records=records, shard=shard, **{"workers": 1, "progress": False, **options})


def content_of(report):
    return {**report.to_json(), "seconds": 0, "formats": report.format_names}


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2], [2, 2, 3, 1]])
def test_shards_equal_one_run(tmp_path, parts, order):
    expected = content_of(check(parts))
    reports = [check(parts, tmp_path / "records", Shard(index, 3)) for index in order]
    assert [bool(report.unfinished) for report in reports] == [True] * (len(order) - 1) + [False]
    assert content_of(reports[-1]) == expected
    kinds = expected["counts"]
    assert {"leaked-image", "similar-classes", "duplicate-object", "missing-image", "truncated-image"} <= set(kinds)
    assert content_of(check(parts, tmp_path / "records", Shard(2, 3))) == expected


def test_every_shard_reads_files(tmp_path, parts):
    for index in (1, 2, 3):
        report = check(parts, tmp_path / "records", Shard(index, 4))
        assert [str(shard) for shard in report.unfinished] == [f"{other}/4" for other in range(index + 1, 5)]
        assert (tmp_path / "records" / f"finished-{index}-of-4.jsonl").read_bytes().count(b"\n") >= 3


def test_labels_of_another_format_and_further_images(tmp_path, parts):
    (tmp_path / "val/labelTxt/no_image.txt").unlink()
    for number in range(2, 7):
        write_labels(tmp_path / "val", f"V{number}", SHIP, SHIP, "100 20 140 20 140 30 100 30 plane 1")
    convert_labels(tmp_path / "val/labelTxt", tmp_path / "json", "labelme", images=tmp_path / "val/images")
    given = [DataPart(parts[1].images, tmp_path / "json")]
    options = {"against": [parts[0].images], "classes": ["shp", "plane"], "decode": False}
    expected = content_of(check(given, **options))
    for index in (2, 1):
        report = check(given, tmp_path / "records", Shard(index, 2), **options)
    assert content_of(report) == expected
    assert expected["images_compared"] == 7
    assert {"leaked-image", "unknown-class", "partly-outside"} <= set(expected["counts"])


def test_a_coco_file(tmp_path):
    images = [{"id": number, "file_name": f"P{number}.png", "width": 120, "height": 100} for number in range(1, 7)]
    path = write_coco(tmp_path / "a.json", [annotation(1), annotation(2, image_id=3, bbox=[1, 2, 0, 0])], images)
    for number in range(1, 6):
        write_image(tmp_path / "images" / f"P{number}.png", min(number, 4))
    given = [DataPart(tmp_path / "images", coco=path)]
    expected = content_of(check(given))
    for index in (1, 2):
        report = check(given, tmp_path / "records", Shard(index, 2))
    assert content_of(report) == expected
    assert set(expected["counts"]) == {"missing-image", "zero-area", "duplicate-image"}


def test_parts_that_share_labels_of_normalized_coordinates(tmp_path, add_image):
    """The reader of YOLO needs the size of the image, which can belong to either part."""
    for number in range(1, 7):
        add_image(f"P{number}.png", SHIP)
    convert_labels(tmp_path / "labelTxt", tmp_path / "yolo", "yolo-obb", images=tmp_path / "images", classes=["ship"])
    for number in range(1, 7):
        folder = tmp_path / f"part{number % 2}"
        folder.mkdir(exist_ok=True)
        (tmp_path / f"images/P{number}.png").rename(folder / f"P{number}.png")
    given = [DataPart(tmp_path / name, tmp_path / "yolo") for name in ("part0", "part1")]
    report = check(given, classes=["ship"])
    assert (report.problems, report.class_counts) == ([], {"ship": 6})


def test_a_killed_shard_is_continued(tmp_path, parts, monkeypatch):
    expected = content_of(check(parts))
    check(parts, tmp_path / "records", Shard(2, 2))
    program = f"""{KILL_AT_THIRD_RECORD}from pathlib import Path
from rotated_atss.data_check import file_jobs
from rotated_atss.data_check.check import check_data
from rotated_atss.data_check.parts import DataPart
file_jobs.FILES_PER_JOB = 2
folder = Path({str(tmp_path)!r})
parts = [DataPart(folder / name / "images", folder / name / "labelTxt") for name in ("train", "val")]
check_data(parts, workers=1, progress=False, records=folder / "records", shard=Shard(1, 2))
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == -signal.SIGKILL
    recorded = (tmp_path / "records" / "finished-1-of-2.jsonl").read_bytes().count(b"\n")
    assert recorded == 2
    repeated, record = [], SharedRun.record
    monkeypatch.setattr(SharedRun, "record", lambda run, key, result: repeated.append(key) or record(run, key, result))
    assert content_of(check(parts, tmp_path / "records", Shard(1, 2))) == expected
    other = (tmp_path / "records" / "finished-2-of-2.jsonl").read_bytes().count(b"\n")
    assert len(repeated) in (other - recorded, other - recorded + 1)


def test_run_without_a_shard_reads_only_what_is_left(tmp_path, parts, monkeypatch):
    expected = content_of(check(parts))
    check(parts, tmp_path / "records", Shard(2, 3))
    read = []
    read_jobs = file_jobs.read_jobs
    monkeypatch.setattr(
        "rotated_atss.data_check.check.read_jobs", lambda jobs, *more: read.extend(jobs) or read_jobs(jobs, *more)
    )
    assert content_of(check(parts, tmp_path / "records")) == expected
    assert len(read) > 3
    read.clear()
    assert content_of(check(parts, tmp_path / "records")) == expected
    assert read == []


def test_a_changed_file_is_read_again(tmp_path, parts):
    check(parts, tmp_path / "records", Shard(1, 2))
    check(parts, tmp_path / "records", Shard(2, 2))
    write_labels(tmp_path / "train", "P1", SHIP)
    report = check(parts, tmp_path / "records", Shard(1, 2))
    if report.unfinished:
        report = check(parts, tmp_path / "records", Shard(2, 2))
    assert content_of(report) == content_of(check(parts))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["ship"]}, "--classes is 'ship', was 'any'"),
        ({"decode": False}, "--headers-only is 'True', was 'False'"),
        ({"shard": Shard(2, 3)}, "number of shards is '3', was '2'"),
        ({"against": ["test"]}, "--against is 'test', was ''"),
    ],
)
def test_shards_of_another_check_are_refused(tmp_path, parts, change, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "test/P1.png", 1)
    check(parts, tmp_path / "records", Shard(1, 2))
    with pytest.raises(UserError, match=f"records: shards of another run are in this folder: {words} \\(repeat"):
        check(parts, tmp_path / "records", **{"shard": Shard(2, 2), **change})


def test_the_same_shard_and_a_whole_run_are_refused_while_a_shard_runs(tmp_path, parts):
    check(parts, tmp_path / "records", Shard(2, 3))
    with run_lock(tmp_path / "records" / ".check-data.1-of-3.lock"):
        for shard in (None, Shard(1, 3)):
            with pytest.raises(UserError, match=r"1-of-3\.lock: another run writes into this folder"):
                check(parts, tmp_path / "records", shard)
        assert check(parts, tmp_path / "records", Shard(3, 3)).unfinished == (Shard(1, 3),)


def test_processes_of_a_job_array(tmp_path, parts):
    words = ["check-data", "--workers", "1", "--json", str(tmp_path / "report.json")]
    words += ["--images", *(str(part.images) for part in parts), "--labels", *(str(part.labels) for part in parts)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    shards = [
        subprocess.Popen([sys.executable, "-m", "rotated_atss", *words, "--shard", f"{index}/2"], cwd=ROOT, **pipes)
        for index in (1, 2)
    ]
    texts = [shard.communicate()[0] for shard in shards]
    assert max(shard.returncode for shard in shards) == 1, texts
    assert any("error: leaked-image: " in text for text in texts)
    expected = check(parts).to_json()
    assert {**json.loads((tmp_path / "report.json").read_text()), "seconds": 0} == {**expected, "seconds": 0}
