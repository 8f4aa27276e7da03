"""The command ``rotated-atss convert-labels``."""

from __future__ import annotations

from rotated_atss.cli import main
from rotated_atss.cli.convert_labels import FORMAT_NAMES, WRITTEN_NAMES
from rotated_atss.label_formats.registry import FORMATS, WRITTEN


def test_options_name_every_format():
    assert tuple(FORMATS) == FORMAT_NAMES
    assert WRITTEN == WRITTEN_NAMES


def test_notes_and_summary(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 1\n1 2 11 2 11 8 1 8 car 0\n")
    words = ["convert-labels", tmp_path / "in", tmp_path / "out", "--to", "geojson", "--class-map", "ship=boat,car="]
    assert main(list(map(str, words))) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 object of classes that the class map drops",
        "1 image file name not known: written with .png (use --images to read file names)",
        f"1 image, 1 object, 1 class; dota -> geojson; written to {tmp_path / 'out'}",
    ]
    assert main([*map(str, words[:2]), str(tmp_path / "more"), "--to", "dota", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_errors_are_one_line(tmp_path, user_error):
    (tmp_path / "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 1\n")
    line = user_error("convert-labels", tmp_path / "P1.txt", tmp_path / "out", "--to", "coco")
    assert "coco needs the size of the image P1, which is not known" in line
    line = user_error("convert-labels", tmp_path / "P1.txt", tmp_path / "out", "--to", "dota", "--class-map", "ship")
    assert "--class-map: 'ship' is not a pair old=new" in line
    assert not (tmp_path / "out").exists()
