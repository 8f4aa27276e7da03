import json
import os

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.files import check_output_apart
from rotated_atss.tiling.staging import MANIFEST, PARTIAL, WRITTEN_BY, staged


def write_split(out, tile="a", **options):
    with staged(out, **options) as folder:
        (folder / "images").mkdir()
        (folder / "images" / tile).write_text(tile)
        (folder / MANIFEST).write_text(json.dumps({"written_by": WRITTEN_BY}))


def content(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_parts_move_in_at_the_end(tmp_path):
    out = tmp_path / "deep" / "out"
    with staged(out) as folder:
        (folder / "images").mkdir()
        (folder / "images" / "a").write_text("a")
        assert [path.name for path in out.iterdir()] == [PARTIAL]
    assert content(out) == ["images/a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("exists", [False, True])
def test_failure_leaves_nothing(tmp_path, error, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    with pytest.raises(error), staged(out) as folder:
        (folder / "images").mkdir()
        raise error
    assert out.exists() == exists
    assert not exists or not list(out.iterdir())


def test_failure_keeps_the_split_that_was_to_be_replaced(tmp_path):
    write_split(tmp_path / "out", "old")
    with pytest.raises(ValueError), staged(tmp_path / "out", overwrite=True):
        raise ValueError
    assert content(tmp_path / "out") == ["images/old", MANIFEST]


def test_finished_split_is_replaced_only_on_request(tmp_path):
    write_split(tmp_path / "out", "old")
    (tmp_path / "out" / "labelTxt").mkdir()
    (tmp_path / "out" / "labelTxt" / "old.txt").touch()
    with pytest.raises(UserError, match="finished split.*--overwrite"):
        write_split(tmp_path / "out")
    write_split(tmp_path / "out", "new", overwrite=True)
    assert content(tmp_path / "out") == ["images/new", MANIFEST]


def test_leftover_of_a_killed_run_is_told(tmp_path):
    (tmp_path / "out" / PARTIAL / "images").mkdir(parents=True)
    with pytest.raises(UserError, match="did not finish.*--overwrite"):
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
        with pytest.raises(UserError, match="holds other files"):
            write_split(tmp_path / "out", overwrite=overwrite)
    assert content(tmp_path / "out") == sorted(names)


def test_foreign_manifest_protects_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    for text in ("[]", "{}", "no json", json.dumps({"written_by": "someone else"})):
        (tmp_path / "out" / MANIFEST).write_text(text)
        with pytest.raises(UserError, match="holds other files"):
            write_split(tmp_path / "out", overwrite=True)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="not a folder"):
        write_split(tmp_path / "out")
    with pytest.raises(UserError, match="cannot be made"):
        write_split(tmp_path / "out" / "below")


def test_a_link_to_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "large_disk").mkdir()
    os.symlink(tmp_path / "large_disk", tmp_path / "out")
    write_split(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert content(tmp_path / "large_disk") == ["images/a", MANIFEST]


@pytest.mark.parametrize("out", ["raw", "raw/images", "raw/images/tiles", ".", "link"])
def test_inputs_and_output_are_apart(tmp_path, out):
    (tmp_path / "raw" / "images").mkdir(parents=True)
    os.symlink(tmp_path / "raw" / "images", tmp_path / "link")
    with pytest.raises(UserError, match="overlaps"):
        check_output_apart(tmp_path / out, [tmp_path / "raw" / "images"])
    check_output_apart(tmp_path / "raw" / "tiles", [tmp_path / "raw" / "images"])
