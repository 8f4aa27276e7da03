"""Staged output: complete or absent, and never over foreign files."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.files import reject_overlapping_output
from rotated_atss.io.shared_run import append_record
from rotated_atss.tiling.manifest import MANIFEST, WRITTEN_BY
from rotated_atss.tiling.split_records import read_records
from rotated_atss.tiling.split_stats import SplitStats, Tile
from rotated_atss.tiling.staging import MOVING, PARTIAL, staged

STATS = SplitStats(9, 8, 0, (), (), (Tile("a", 0, 0),), suffix="")


def write_tile(stage, tile="a"):
    stage.resume({tile})
    (stage.folder / "images" / tile).write_text(tile)
    stage.record(tile, replace(STATS, tiles=(Tile(tile, 0, 0),)))


def write_manifest(stage):
    (stage.folder / MANIFEST).write_text(json.dumps({"written_by": WRITTEN_BY}))


def write_split(out, tile="a", description=(), **options):
    with staged(out, dict(description), labeled=False, **options) as stage:
        write_tile(stage, tile)
        write_manifest(stage)
        stage.commit()


def content(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_parts_are_moved_by_commit(tmp_path):
    out = tmp_path / "deep" / "out"
    with staged(out, {}, labeled=False) as stage:
        write_tile(stage)
        assert sorted(path.name for path in out.iterdir()) == [".split.lock", PARTIAL]
        stage.commit()
    assert content(out) == ["images/a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("exists", [False, True])
def test_failure_before_the_first_finished_job_removes_the_temporary_folder(tmp_path, error, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()

    def fail():
        with staged(out, {}) as stage:
            stage.resume(set())
            (stage.folder / "images" / "a").write_text("a")
            raise error

    with pytest.raises(error):
        fail()
    assert out.exists() == exists
    assert not exists or not list(out.iterdir())


def test_failure_keeps_the_existing_split(tmp_path):
    write_split(tmp_path / "out", "old")
    with pytest.raises(ValueError), staged(tmp_path / "out", {}, overwrite=True):
        raise ValueError
    assert content(tmp_path / "out") == ["images/old", MANIFEST]


def test_finished_split_is_replaced_only_on_request(tmp_path):
    write_split(tmp_path / "out", "old")
    (tmp_path / "out" / "labelTxt").mkdir()
    (tmp_path / "out" / "labelTxt" / "old.txt").touch()
    with pytest.raises(UserError, match=r"finished split.*--overwrite"):
        write_split(tmp_path / "out")
    write_split(tmp_path / "out", "new", overwrite=True)
    assert content(tmp_path / "out") == ["images/new", MANIFEST]


SETTINGS = {"sizes": "[64]"}


def stop_after_a_tile(out):
    with suppress(KeyboardInterrupt), staged(out, SETTINGS, labeled=False) as stage:
        write_tile(stage)
        (stage.folder / "images" / "b").write_text("half")
        raise KeyboardInterrupt


def test_stopped_run_continues_with_its_finished_jobs(tmp_path):
    stop_after_a_tile(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PARTIAL]
    with staged(tmp_path / "out", SETTINGS, labeled=False) as stage:
        stage.resume({"a", "b"})
        assert stage.finished == {"a": STATS}
        assert [path.name for path in (stage.folder / "images").iterdir()] == ["a"]  # without the half written one
        write_manifest(stage)
        stage.commit()
    assert content(tmp_path / "out") == ["images/a", MANIFEST]


def test_record_without_its_tile_or_of_another_job_does_not_count(tmp_path):
    stop_after_a_tile(tmp_path / "out")
    with staged(tmp_path / "out", SETTINGS, labeled=False) as stage:
        stage.resume({"b"})
        assert stage.finished == {}
        stage.resume({"a"})  # its tile has been removed
        assert stage.finished == {}


def test_incomplete_record_is_skipped(tmp_path):
    stop_after_a_tile(tmp_path / "out")
    records = tmp_path / "out" / PARTIAL / "finished.jsonl"
    line = records.read_bytes()
    for garbage in (line[: len(line) // 2], b"[]\n", b"{}\n", b'{"key": "a", "tiles": 3}\n', b"\xff\n"):
        records.write_bytes(garbage)
        assert read_records(records.parent) == {}
    records.write_bytes(line[: len(line) // 2])
    append_record(records, "a", asdict(STATS))
    assert read_records(records.parent) == {"a": STATS}


def test_other_settings_are_refused_or_replace_the_stopped_run(tmp_path):
    stop_after_a_tile(tmp_path / "out")
    match = r"unfinished split with other settings.*: sizes is '\[128\]', was '\[64\]' \(repeat.*--overwrite"
    with pytest.raises(UserError, match=match):
        write_split(tmp_path / "out", description={"sizes": "[128]"})
    write_split(tmp_path / "out", "new", description={"sizes": "[128]"}, overwrite=True)
    assert content(tmp_path / "out") == ["images/new", MANIFEST]


def test_temporary_folder_of_unknown_settings_is_refused(tmp_path):
    (tmp_path / "out" / PARTIAL / "images").mkdir(parents=True)
    with pytest.raises(UserError, match=r"settings are unknown.*--overwrite"):
        write_split(tmp_path / "out")
    write_split(tmp_path / "out", overwrite=True)
    assert content(tmp_path / "out") == ["images/a", MANIFEST]


class Killed(BaseException):
    """Raised in place of a file operation, as if the process had been killed there."""


@pytest.fixture
def kill_at(monkeypatch):
    """``kill_at(step, function)`` calls the function and returns whether its file operation ``step`` was reached."""

    def run(step, function):
        calls = []

        def counted(operation):
            def call(*args, **options):
                calls.append(args)
                if len(calls) > step:
                    raise Killed
                return operation(*args, **options)

            return call

        with monkeypatch.context() as patch:
            for owner, name in ((os, "replace"), (shutil, "rmtree"), (Path, "touch"), (Path, "unlink")):
                patch.setattr(owner, name, counted(getattr(owner, name)))
            with suppress(Killed):
                function()
        return len(calls) > step

    return run


@pytest.mark.parametrize("earlier", [False, True])
def test_final_move_survives_a_kill_at_each_step(tmp_path, kill_at, earlier):
    for step in range(20):
        out = tmp_path / f"out{step}"
        if earlier:
            write_split(out, "old")
            (out / "labelTxt").mkdir()  # which the new split does not have
        with staged(out, SETTINGS, labeled=False, overwrite=earlier) as stage:
            write_tile(stage, "new")
            write_manifest(stage)
            killed = kill_at(step, stage.commit)
        if not killed:
            break
        if (out / PARTIAL).exists():
            with staged(out, SETTINGS, labeled=False, overwrite=earlier) as stage:
                stage.resume({"new"})
                assert set(stage.finished) == {"new"}
                stage.commit()
        shutil.rmtree(out / ".split.trash", ignore_errors=True)  # the next run removes it
        assert content(out) == ["images/new", MANIFEST]
        assert sorted(path.name for path in out.iterdir()) == ["images", MANIFEST]
    assert step >= 8


def test_moving_of_another_split_is_completed_first(tmp_path):
    stop_after_a_tile(tmp_path / "out")
    partial = tmp_path / "out" / PARTIAL
    (partial / MANIFEST).write_text(json.dumps({"written_by": WRITTEN_BY}))
    (partial / MOVING).touch()
    with pytest.raises(UserError, match="finished split"):
        write_split(tmp_path / "out", description={"sizes": "[128]"})
    assert content(tmp_path / "out") == ["images/a", "images/b", MANIFEST]


@pytest.mark.parametrize("names", [["images/P1.png", "labelTxt/P1.txt"], ["notes.txt"], [f"{PARTIAL}/a", "notes.txt"]])
def test_other_folders_are_never_replaced(tmp_path, names):
    for name in names:
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="contains other files"):
            write_split(tmp_path / "out", overwrite=overwrite)
    assert content(tmp_path / "out") == sorted(names)


def test_message_names_a_file_that_is_not_of_the_split(tmp_path):
    write_split(tmp_path / "out")
    (tmp_path / "out" / "zzz.txt").write_text("mine")
    with pytest.raises(UserError, match=r"contains other files \(zzz\.txt\)"):
        write_split(tmp_path / "out", overwrite=True)


def test_folder_with_a_foreign_manifest_is_protected(tmp_path):
    (tmp_path / "out").mkdir()
    for text in ("[]", "{}", "no json", json.dumps({"written_by": "another program"})):
        (tmp_path / "out" / MANIFEST).write_text(text)
        with pytest.raises(UserError, match="contains other files"):
            write_split(tmp_path / "out", overwrite=True)


def test_output_that_is_a_file_is_rejected(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="not a folder"):
        write_split(tmp_path / "out")
    with pytest.raises(UserError, match="cannot be created"):
        write_split(tmp_path / "out" / "below")


def test_link_to_an_empty_folder_is_accepted(tmp_path):
    (tmp_path / "large_disk").mkdir()
    os.symlink(tmp_path / "large_disk", tmp_path / "out")
    write_split(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert content(tmp_path / "large_disk") == ["images/a", MANIFEST]


@pytest.mark.parametrize("out", ["raw", "raw/images", "raw/images/tiles", ".", "link"])
def test_output_must_not_overlap_an_input(tmp_path, out):
    (tmp_path / "raw" / "images").mkdir(parents=True)
    os.symlink(tmp_path / "raw" / "images", tmp_path / "link")
    with pytest.raises(UserError, match="overlaps"):
        reject_overlapping_output(tmp_path / out, [tmp_path / "raw" / "images"])
    reject_overlapping_output(tmp_path / "raw" / "tiles", [tmp_path / "raw" / "images"])
