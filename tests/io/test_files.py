"""Reading and atomic writing of files."""

import errno
import json
import os
from pathlib import Path

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.files import (
    atomic_write,
    atomic_write_all,
    check_folder_writable,
    check_writable,
    read_bytes,
    write_json,
)
from rotated_atss.io.output_folders import staged_folder


def test_atomic_write_creates_and_replaces(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for content in (b"one", b"two"):
        atomic_write(path, content)
        assert read_bytes(path) == content
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


def test_failed_atomic_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def write_one_byte(self, data):
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_one_byte)
    with pytest.raises(UserError, match=r"a\.txt: cannot be written: No space left on device"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_creates_folders_and_ends_with_a_newline(tmp_path):
    content = {"names": ["ship"], "AP50": None}
    for indent, text in ((1, '{\n "names": [\n  "ship"\n ],\n "AP50": null\n}\n'), (None, json.dumps(content) + "\n")):
        write_json(tmp_path / "new" / "a.json", content, indent=indent)
        assert read_bytes(tmp_path / "new" / "a.json").decode() == text
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.json"]
    with pytest.raises(UserError, match="cannot be written"):
        write_json(tmp_path / "new" / "a.json" / "b.json", content)


def test_failed_write_of_several_files_keeps_all_old_files(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    atomic_write_all(dict.fromkeys(paths, b"old"))
    write_bytes = Path.write_bytes

    def fail_at_b(self, data):
        if ".b.txt" in self.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail_at_b)
        with pytest.raises(UserError, match=r"b\.txt: cannot be written: No space left on device"):
            atomic_write_all(dict.fromkeys(paths, b"new"))
    assert [path.read_bytes() for path in paths] == [b"old", b"old"]
    (tmp_path / ".a.txt.0123abcd.part").touch()
    atomic_write_all(dict.fromkeys(paths, b"new"))
    assert sorted(tmp_path.iterdir()) == paths
    assert [path.read_bytes() for path in paths] == [b"new", b"new"]


def test_unreadable_and_unwritable_paths_raise(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_bytes(tmp_path / "a.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read_bytes(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        atomic_write(tmp_path / "file" / "a.txt", b"")


def test_staged_folder_appears_complete_or_not_at_all(tmp_path):
    out = tmp_path / "new" / "out"
    with pytest.raises(ZeroDivisionError), staged_folder(out) as folder:
        (folder / "a.txt").write_text(str(1 / 0))
    assert list((tmp_path / "new").iterdir()) == []
    with staged_folder(out) as folder:
        (folder / "a.txt").touch()
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["a.txt"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_staged_folder_replaces_only_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with staged_folder(tmp_path / "empty") as folder:
        (folder / "a.txt").touch()
    with pytest.raises(UserError, match="empty: the output folder is not empty"), staged_folder(tmp_path / "empty"):
        pass
    with pytest.raises(UserError, match="not a folder"), staged_folder(tmp_path / "empty" / "a.txt"):
        pass
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("path", [".", "..", "/", ""])
def test_a_path_without_a_file_name(path):
    with pytest.raises(UserError, match=r"not the name of a file \(add a file name\)"):
        atomic_write(path, b"")


def test_a_file_that_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    (tmp_path / "a.txt").touch()
    for path in (tmp_path / "a.txt", tmp_path / "new" / "folder" / "b.json"):
        check_writable(path)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match=r"a.txt is not a folder \(choose another path\)"):
        check_writable(tmp_path / "a.txt" / "b.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"b.json: cannot be written: no permission to write to "):
        check_writable(tmp_path / "new" / "b.json")
    with pytest.raises(UserError, match=r"new: cannot be written: no permission to write to "):
        check_folder_writable(tmp_path / "new")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs sysfs")
def test_a_folder_in_which_the_permissions_allow_files_that_cannot_be_created(monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: True)  # as for root
    for check in (check_writable, check_folder_writable):
        for path in ("/sys/a.json", "/sys/new/a.json"):
            with pytest.raises(UserError, match=rf"^{path}: cannot be written: no file can be created in /sys: "):
                check(path)
