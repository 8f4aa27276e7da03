"""The commands list and config."""

from __future__ import annotations

import json

import pytest

from rotated_atss.checkpoints.config_cards import load_cards
from rotated_atss.cli import main
from rotated_atss.configs import config_names

LE90 = "rotated_atss_obb_r50_fpn_1x_dota_le90"
DEMO = "rotated_atss_obb_r18_demo_le90"


def rows_of(out: str) -> list[list[str]]:
    """Return the words of the rows of a table, without the lines below it."""
    lines = out.splitlines()
    return [line.split() for line in lines if not line.startswith(("published:", "weights:"))]


def test_every_config_is_listed_with_its_figures(capsys):
    assert [card.name for card in load_cards()] == config_names()
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    rows = {row[0]: row for row in rows_of(out)}
    assert list(rows) == ["name", *config_names()]
    assert rows[LE90] == [LE90, "DOTA-v1.0", "mAP", "70.64", "36.3", "yes"]
    assert rows["atss_r50_fpn_1x_coco"][1:] == ["COCO", "bbox", "AP", "39.3,", "39.4,", "39.5", "32.3", "yes"]
    (line,) = [line for line in out.splitlines() if line.startswith(DEMO)]
    assert line.index("AP50 ") == out.splitlines()[0].index("measured")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["rotated_atss_*_dota_oc"], ["rotated_atss_centerness_hbb_r50_fpn_1x_dota_oc",
                                      "rotated_atss_hbb_r50_fpn_1x_dota_oc"]),
        (["demo"], [DEMO]),
        (["dota-v1.5", "DIOR"], ["rotated_atss_obb_r50_fpn_1x_dior_r_le90", "rotated_atss_obb_r50_fpn_1x_dotav15_le90",
                                 "rotated_retinanet_obb_r50_fpn_1x_dior_r_le90"]),
    ],
)  # fmt: skip
def test_patterns_select_by_name_and_dataset(patterns, expected, capsys):
    assert main(["list", *patterns, "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == expected


def test_on_a_terminal_lines_fit_its_width_and_nothing_is_lost(capsys, monkeypatch):
    assert main(["list"]) == 0
    full = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, full.splitlines())) > 80
    table = out.partition("published: ")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert "\n".join(table).split() == full.partition("published: ")[0].split()
    assert table[table.index(LE90) + 1].split() == ["DOTA-v1.0", "mAP", "70.64", "36.3", "yes"]


def test_a_pattern_that_fits_nothing_is_an_error(capsys):
    assert main(["list", "rotated_atss_obb_r50_fpn_1x_dota_le9O"]) == 2
    assert f"no config matches 'rotated_atss_obb_r50_fpn_1x_dota_le9O' (nearest: {LE90}" in capsys.readouterr().err


def test_json_has_sources_and_the_name_of_the_weights(capsys):
    assert main(["list", LE90, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["published"] == [{"metric": "mAP, DOTA-v1.0 test", "value": 70.64, "source": "mmrotate 0.x model zoo"}]
    assert (row["weights"], row["schedule"], row["measured"]) == (LE90, "12 epochs", [])


def test_a_printed_config_is_the_config(capsys, tmp_path):
    pytest.importorskip("mmdet")
    from rotated_atss.detection.engine.config import load_config

    assert main(["config", DEMO, "--cfg-options", "train_cfg.max_iters=7", "model.backbone.depth=34"]) == 0
    path = tmp_path / "own.py"
    path.write_text(capsys.readouterr().out)
    assert max(map(len, path.read_text().splitlines())) <= 120
    changes = {"train_cfg.max_iters": 7, "model.backbone.depth": 34}
    expected = {**load_config(DEMO, changes).to_dict(), "config_name": "own"}
    assert load_config(path).to_dict() == expected
    assert main(["config", str(path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["model"]["backbone"]["depth"] == 34
    assert values["classes"] == "v1.0"


def test_errors_of_config_are_one_line(capsys):
    assert main(["config", "rotated_atss_obb_r18_demo"]) == 2
    assert f"no such config (nearest: {DEMO}" in capsys.readouterr().err
