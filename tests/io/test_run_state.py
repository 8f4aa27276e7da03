"""State of interrupted runs."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io import run_state
from rotated_atss.io.run_state import (
    JOURNAL,
    check_journal,
    complete_result,
    describe_files,
    finish_moves,
    first_difference,
    plan_moves,
    read_state,
    write_result,
)


@pytest.mark.parametrize(
    ("recorded", "current", "difference"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 2]}, "a": 1}, None),
        ({"--json": None}, {"--json": "a.json"}, "--json is 'a.json', was not given"),
        ({"--json": "a.json"}, {"--json": None}, "--json is not given, was 'a.json'"),
        ({"--size": 0}, {"--size": None}, "--size is not given, was 0"),
        ({"model": {"a.pth": [1, 2]}}, {"model": {"b.pth": [1, 2]}}, "model: a.pth is missing"),
        ({"images": {}}, {"images": {"b.png": [1, 2]}}, "images: b.png is new"),
        ({"images": {"b.png": [1, 2]}}, {"images": {"b.png": [1, 3]}}, "images: b.png has changed"),
        ({}, {"images": {"b.png": [1, 3]}}, "images is {'b.png': [1, 3]}, was not given"),
    ],
)
def test_first_difference(recorded, current, difference):
    assert first_difference(recorded, current) == difference


def test_described_file_changes_with_size_and_time(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a")
    first = describe_files([path])
    assert describe_files([path]) == first
    os.utime(path, ns=(1, 1))
    assert describe_files([path]) != first


def test_unfinished_and_damaged_states_are_none(tmp_path):
    for text in ("", "{", "[]", "1"):
        (tmp_path / "a.json").write_text(text)
        assert read_state(tmp_path / "a.json") is None


@pytest.mark.parametrize("calls", range(10))
def test_moves_interrupted_at_any_call_are_finished(tmp_path, monkeypatch, calls):
    """A new file lies at its target only beside other new files."""
    new, old = tmp_path / "new", tmp_path / "old"
    new.mkdir()
    old.mkdir()
    for name in ("a", "b", "c"):
        (new / name).write_text("new")
    for name in ("a", "b", "stale"):
        (old / name).write_text("old")
    moves = [(new / name, old / name) for name in ("a", "b", "c")]
    journal = plan_moves(tmp_path / "journal.json", moves, [old / "stale", old / "a"], note=1)
    assert read_state(tmp_path / "journal.json") == journal
    left, unlink, replace = [calls], type(old).unlink, os.replace

    def count(function, *arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        function(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(old), "unlink", lambda *a, **o: count(unlink, *a, **o))
        patch.setattr(run_state.os, "replace", lambda *a: count(replace, *a))
        if calls < 7:  # four files are removed and three moved
            with pytest.raises(KeyboardInterrupt):
                finish_moves(journal)
        else:
            finish_moves(journal)
    contents = {path.read_text() for path in old.iterdir()}
    assert contents != {"old", "new"}
    finish_moves(journal)
    assert {path.name: path.read_text() for path in old.iterdir()} == dict.fromkeys("abc", "new")
    assert not list(new.iterdir())


@pytest.mark.parametrize("earlier", [False, True])
def test_result_is_old_or_new_after_a_kill_at_each_step(tmp_path, monkeypatch, earlier):
    names = ["a.txt", "b.txt", "c.txt"]
    for step in range(20):
        folder = tmp_path / str(step)
        if earlier:
            write_result(folder, dict.fromkeys(names, b"old"))
        calls = []

        def counted(operation, calls=calls, step=step):
            def call(*args, **options):
                calls.append(args)
                if len(calls) > step:
                    raise KeyboardInterrupt
                return operation(*args, **options)

            return call

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(run_state.os, "replace", counted(os.replace))
            patch.setattr(Path, "unlink", counted(Path.unlink))
            write_result(folder, dict.fromkeys(names, b"new"))
        present = {path.read_bytes() for path in folder.glob("*.txt")}
        assert present in ([{b"old"}, {b"new"}, set()] if earlier else [{b"new"}, set()])
        if (folder / JOURNAL).exists():
            complete_result(folder)
            assert [(folder / name).read_bytes() for name in names] == [b"new"] * 3
        write_result(folder, dict.fromkeys(names, b"newer"))
        kept = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("..unfinished")}
        assert kept == dict.fromkeys(names, b"newer")
        if len(calls) <= step:
            break
    assert step >= 8


def test_full_disk_keeps_the_earlier_result(tmp_path, monkeypatch):
    write_result(tmp_path, {"a.txt": b"old", "b.txt": b"old"})
    write = Path.write_bytes

    def fail_at_b(self, data):
        if "b.txt" in self.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fail_at_b)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        write_result(tmp_path, {"a.txt": b"new", "b.txt": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.txt": b"old", "b.txt": b"old"}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": 3}', '{"files": {"x": 1}}', '{"files": {"../x": ".x.part", "y": "../outside"}}']
)
def test_journal_from_elsewhere_reaches_no_other_folder(tmp_path, text):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "x", tmp_path / "outside", folder / ".x.part"):
        path.write_text("kept")
    (folder / JOURNAL).write_text(text)
    complete_result(folder)
    assert not (folder / JOURNAL).exists()
    assert (tmp_path / "x").read_text() == (tmp_path / "outside").read_text() == "kept"
    assert not (folder / "y").exists()


@pytest.mark.parametrize(
    "journal, message",
    [
        ({}, "is damaged"),
        ({"moves": [["a"]], "remove": []}, "is damaged"),
        ({"moves": [["a", 3]], "remove": []}, "is damaged"),
        ({"moves": "ab", "remove": []}, "is damaged"),
        ({"moves": [], "remove": None}, "is damaged"),
        ({"moves": [], "remove": ["OUT/a\0b"]}, "is damaged"),
        ({"moves": [], "remove": ["/etc/passwd"]}, "names a file outside the output folder: '/etc/passwd'"),
        ({"moves": [], "remove": ["OUT/../a.txt"]}, "names a file outside the output folder"),
        ({"moves": [["OUT/a", "/tmp/b"]], "remove": []}, "names a file outside the output folder: '/tmp/b'"),
        ({"moves": [["/etc/passwd", "OUT/a"]], "remove": []}, "names a file outside the output folder"),
        ({"moves": [], "remove": ["OUT/link/a.txt"]}, "names a file outside the output folder"),
    ],
)
def test_a_journal_changes_only_the_output_folder(tmp_path, journal, message):
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to("/etc")
    content = json.loads(json.dumps(journal).replace("OUT", str(out)))
    with pytest.raises(UserError, match=message):
        check_journal(content, out / "journal.json", [out])


def test_a_journal_of_the_output_folder_is_accepted(tmp_path):
    moves = [(tmp_path / ".part" / "a.txt", tmp_path / "a.txt")]
    journal = plan_moves(tmp_path / "journal.json", moves, [tmp_path / "b.txt"])
    check_journal(journal, tmp_path / "journal.json", [tmp_path])
    assert journal["remove"] == [str(tmp_path / "b.txt")]
