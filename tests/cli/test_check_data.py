"""``rotated-atss check-data``: report, exit codes, JSON and the cleaned copy."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main
from rotated_atss.data_check.kinds import kinds_table

SHIP = "10 20 40 20 40 40 10 40 ship 0\n"


@pytest.fixture
def folder(tmp_path):
    """Two images with labels: one without problems, one with seven duplicates."""
    for name, text in (("P1", SHIP), ("P2", SHIP * 8)):
        for part in ("images", "labelTxt"):
            (tmp_path / part).mkdir(exist_ok=True)
        noise = np.random.default_rng(len(text)).integers(0, 256, (50, 60, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), noise)
        (tmp_path / "labelTxt" / f"{name}.txt").write_text(text)
    return tmp_path


def run(folder, *options):
    words = ["--images", folder / "images", "--labels", folder / "labelTxt", "--workers", 1, *options]
    return main(["check-data", *map(str, words)])


def test_report(folder, capsys):
    assert run(folder) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "error: duplicate-object: 7 problems"
    assert lines[2] == f"  {folder}/labelTxt/P2.txt:2: the 'ship' equals the one at {folder}/labelTxt/P2.txt:1"
    assert lines[7] == "  ... and 2 more (--all lists them)"
    assert lines[8].startswith("2 images, 2 label files (dota), 9 objects of 1 class; 7 errors, 0 warnings; ")
    assert run(folder, "--all") == 1
    assert len(capsys.readouterr().out.splitlines()) == 10


def test_exit_codes(folder, capsys, user_error):
    (folder / "labelTxt/P2.txt").write_text(SHIP)
    assert run(folder, "--classes", "ship,") == 0
    (folder / "labelTxt/P2.txt").write_text("10 20 10 40 40 40 40 20 ship 0\n")
    assert run(folder) == 0
    assert run(folder, "--strict", "--quiet") == 1
    assert capsys.readouterr().out.count("0 errors, 1 warning") == 1
    assert "no such folder" in user_error("check-data", "--images", folder / "none")
    assert "--copy-images needs --fix" in user_error("check-data", "--images", folder / "images", "--copy-images")


def test_json_and_cleaned_copy(folder, capsys):
    assert run(folder, "--json", folder / "report.json", "--fix", folder / "clean") == 1
    assert json.loads((folder / "report.json").read_text())["counts"] == {"duplicate-object": 7}
    assert "fixed: duplicate-object: 7 (all but one removed)" in capsys.readouterr().out
    assert run(folder / "clean") == 0


def test_an_output_of_fix_is_checked_before_anything_is_read(folder, user_error, monkeypatch):
    monkeypatch.setattr("rotated_atss.data_check.check.check_data", None)
    words = ["check-data", "--images", folder / "images", "--fix"]
    assert "the output folder is not empty" in user_error(*words, folder / "labelTxt")
    assert "overlaps the input" in user_error(*words, folder / "images" / "clean")


def test_images_alone_and_against(folder, capsys):
    shutil.copytree(folder / "images", folder / "test")
    assert main(["check-data", "--images", str(folder / "images"), "--against", str(folder / "test")]) == 1
    out = capsys.readouterr().out
    assert "error: leaked-image: 2 problems" in out
    assert "2 images, 2 compared; 2 errors" in out


def test_the_page_has_the_table_of_kinds(repo_root):
    page = (repo_root / "docs" / "check_data.md").read_text(encoding="utf-8")
    table = "\n".join(kinds_table())
    assert table in page, f"put this table into docs/check_data.md:\n{table}"


def test_the_file_of_the_report_is_checked_before_the_images(tmp_path, user_error):
    (tmp_path / "a.txt").touch()
    words = ("check-data", "--images", tmp_path / "no_such_folder", "--json")
    assert "a.txt is not a folder" in user_error(*words, tmp_path / "a.txt" / "report.json")
    assert "not the name of a file" in user_error(*words, tmp_path)


def test_shards_report_as_one_run(folder, capsys, user_error):
    report, words = folder / "report.json", ["--json", folder / "report.json", "--shard"]
    assert run(folder, "--json", folder / "whole.json") == 1
    expected = capsys.readouterr().out.splitlines()
    assert run(folder, *words, "2/2") == 0
    (line,) = capsys.readouterr().out.splitlines()
    last_step = f"reports the problems and writes {report}"
    assert line.endswith(f" s; shard 1/2 is not finished; the last shard to end {last_step}")
    assert not report.exists()
    command = ["check-data", "--images", folder / "images", "--labels", folder / "labelTxt"]
    for shard in ("3/2", "0/2", "x"):
        assert f"a shard must be I/N with I from 1 to N, got {shard}" in user_error(*command, *words, shard)
    assert "number of shards is '3', was '2'" in user_error(*command, *words, "1/3")
    assert "--classes is 'ship', was 'any'" in user_error(*command, *words, "1/2", "--classes", "ship,")
    assert "--shard needs --json FILE" in user_error(*command, "--shard", "1/2")
    error = user_error(*command, *words, "1/2", "--fix", folder / "clean")
    assert "--fix cannot be combined with --shard (repeat the command without --shard when" in error
    assert run(folder, *words, "1/2") == 1
    assert capsys.readouterr().out.splitlines()[:-1] == expected[:-1]
    sharded, whole = (json.loads((folder / name).read_text()) for name in ("report.json", "whole.json"))
    assert {**sharded, "seconds": 0} == {**whole, "seconds": 0}
    assert run(folder, "--json", report, "--fix", folder / "clean", "--quiet") == 1
    assert (folder / "clean/labelTxt/P2.txt").read_text().count("ship") == 1
