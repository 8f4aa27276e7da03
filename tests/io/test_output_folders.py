"""Output folders that appear only when all of their files are written."""

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.output_folders import staged_folder


def test_the_current_folder_can_be_the_output(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    with staged_folder(".") as folder:
        (folder / "a.txt").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/a.txt"]


def test_after_an_error_the_output_is_unchanged(tmp_path):
    def fail():
        with staged_folder(tmp_path / "out") as folder:
            (folder / "a.txt").touch()
            raise UserError("damaged")

    with pytest.raises(UserError, match="damaged"):
        fail()
    assert list(tmp_path.iterdir()) == []
