"""Learning curves: read from the files of a training, and plotted."""

from __future__ import annotations

import json
import struct

import pytest

from rotated_atss.analysis.curve_plots import plot_learning_curves
from rotated_atss.analysis.learning_curves import build_curves, read_learning_curves
from rotated_atss.cli import main
from rotated_atss.errors import UserError


def train_row(step, loss, lr=0.01):
    return {"lr": lr, "data_time": 0.1, "grad_norm": 3.0, "loss": loss, "loss_cls": loss / 2, "time": 0.5,
            "epoch": 1, "iter": step, "memory": 900, "step": step}  # fmt: skip


def write(folder, timestamp, rows):
    path = folder / timestamp / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_validations_are_placed_at_the_iteration_before_them(tmp_path):
    write(tmp_path, "1", [train_row(50, 2.0), {"dota/AP50": 0.3, "data_time": 0.1, "time": 0.2, "step": 1},
                          train_row(100, 1.5), {"dota/AP50": 0.4, "dota/AP50/ship": 0.5, "step": 2}])  # fmt: skip
    curves = read_learning_curves(tmp_path)
    assert sorted(curves.losses) == ["loss", "loss_cls"]
    assert (curves.losses["loss"].steps, curves.losses["loss"].values) == ([50, 100], [2.0, 1.5])
    assert (curves.lr.steps, curves.lr.values) == ([50, 100], [0.01, 0.01])
    assert sorted(curves.metrics) == ["dota/AP50", "dota/AP50/ship"]
    assert (curves.metrics["dota/AP50"].steps, curves.metrics["dota/AP50"].values) == ([50, 100], [0.3, 0.4])


def test_a_resumed_training_is_one_curve_and_a_new_one_replaces_the_old(tmp_path):
    write(tmp_path, "1", [train_row(step, step) for step in (50, 100, 150)])
    write(tmp_path, "2", [train_row(step, -step) for step in (150, 200)])
    loss = read_learning_curves(tmp_path).losses["loss"]
    assert (loss.steps, loss.values) == ([50, 100, 150, 200], [50, 100, -150, -200])
    write(tmp_path, "3", [train_row(50, 7.0)])
    assert read_learning_curves(tmp_path).losses["loss"].values == [7.0]


def test_values_that_are_not_finite_are_left_out():
    curves = build_curves([train_row(1, float("nan")), train_row(2, 1.0), {"dota/AP50": float("nan"), "step": 2}])
    assert curves.losses["loss"].steps == [2]
    assert curves.metrics["dota/AP50"].steps == []


def test_an_incomplete_last_line_is_no_error_but_others_are(tmp_path):
    path = write(tmp_path, "1", [train_row(50, 2.0)])
    text = path.read_text()
    path.write_text(text + '{"lr": 0.01, "lo')
    assert read_learning_curves(tmp_path).losses["loss"].values == [2.0]
    path.write_text("[]\n" + text)
    with pytest.raises(UserError, match=r"scalars.json:1: not a row of scalars"):
        read_learning_curves(tmp_path)


def test_folders_without_a_training_are_errors_of_one_line(tmp_path, capsys):
    assert main(["curves", str(tmp_path / "gone")]) == 2
    assert main(["curves", str(tmp_path)]) == 2
    write(tmp_path, "1", [train_row(50, 2.0)])
    assert main(["curves", str(tmp_path), "--out", str(tmp_path / "1" / "vis_data" / "scalars.json")]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.endswith("gone: no such folder (give the --work-dir of a training run)")
    assert "the folder has no logged losses" in second
    assert "the picture must be a .png file" in third


def has_size(png, width, height):
    """Return whether a PNG has this size; Matplotlib before 3.11 rounds down 459.99 px."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    actual = struct.unpack(">II", png[16:24])
    return actual in ((width, height), (width, height - 1))


def test_command_plots_one_training_and_several(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        write(tmp_path / name, "1", [train_row(50, 2.0), {"dota/AP50": 0.3, "step": 1}])
    monkeypatch.chdir(tmp_path)
    assert main(["curves", "a"]) == 0
    assert main(["curves", "a", "b"]) == 0
    assert capsys.readouterr().out == "wrote a/learning_curves.png\nwrote learning_curves.png\n"
    for path in (tmp_path / "a" / "learning_curves.png", tmp_path / "learning_curves.png"):
        assert has_size(path.read_bytes(), 1560, 460)


def test_trainings_without_validation_are_plotted():
    pytest.importorskip("matplotlib")
    curves = build_curves([train_row(1, 2.0)])
    assert has_size(plot_learning_curves({"a": curves}), 1560, 460)
    assert has_size(plot_learning_curves({str(number): curves for number in range(9)}), 1560, 460)
