"""Staged output: complete or absent, and never over foreign files."""

import json
import os

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.files import check_output_apart
from rotated_atss.tiling.manifest import MANIFEST, WRITTEN_BY
from rotated_atss.tiling.staging import LOCK, PARTIAL, staged


def write_split(out, tile="a", **options):
    with staged(out, **options) as folder:
        (folder / "images").mkdir()
        (folder / "images" / tile).write_text(tile)
        (folder / MANIFEST).write_text(json.dumps({"written_by": WRITTEN_BY}))


def content(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_parts_are_moved_when_the_block_ends(tmp_path):
    out = tmp_path / "deep" / "out"
    with staged(out) as folder:
        (folder / "images").mkdir()
        (folder / "images" / "a").write_text("a")
        assert sorted(path.name for path in out.iterdir()) == [LOCK, PARTIAL]
    assert content(out) == ["images/a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("exists", [False, True])
def test_failure_removes_the_temporary_folder(tmp_path, error, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()

    def fail():
        with staged(out) as folder:
            (folder / "images").mkdir()
            raise error

    with pytest.raises(error):
        fail()
    assert out.exists() == exists
    assert not exists or not list(out.iterdir())


def test_failure_keeps_the_existing_split(tmp_path):
    write_split(tmp_path / "out", "old")
    with pytest.raises(ValueError), staged(tmp_path / "out", overwrite=True):
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


def test_leftover_of_a_killed_run_is_reported(tmp_path):
    (tmp_path / "out" / PARTIAL / "images").mkdir(parents=True)
    with pytest.raises(UserError, match=r"unfinished.*--overwrite"):
        write_split(tmp_path / "out")
    write_split(tmp_path / "out", overwrite=True)
    assert content(tmp_path / "out") == ["images/a", MANIFEST]


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
        check_output_apart(tmp_path / out, [tmp_path / "raw" / "images"])
    check_output_apart(tmp_path / "raw" / "tiles", [tmp_path / "raw" / "images"])
