"""Results of runs as JSON: all paths are absolute, whatever paths the user gave."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("mmengine")

from mmengine.config import Config

from rotated_atss.detection.engine.run_result import ResultHook, record_finished, record_test, save_learning_curves


def run_in(folder: Path) -> SimpleNamespace:
    """Return a runner as the functions see it, with relative outputs and a work folder that exists."""
    folder.mkdir()
    evaluator = dict(type="DOTAMetric", out_dir="merged", submission="task1.zip", report_dir="work/report")
    return SimpleNamespace(
        cfg=Config(dict(config_name="demo", test_evaluator=evaluator, train_cfg=dict(max_epochs=12))),
        work_dir=str(folder),
        logger=SimpleNamespace(log_file=str(folder / "run.log")),
        test_dataloader=SimpleNamespace(dataset=[None, None]),
    )


def test_paths_of_a_test_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = record_test(run_in(tmp_path / "work"), ResultHook(), {"dota/AP50": 0.5}, "weights/iter_2.pth")
    paths = {name: result[name] for name in ("checkpoint", "work_dir", "log", "out", "submission", "report")}
    assert paths == {
        "checkpoint": str(tmp_path / "weights" / "iter_2.pth"),
        "work_dir": str(tmp_path / "work"),
        "log": str(tmp_path / "work" / "run.log"),
        "out": str(tmp_path / "merged"),
        "submission": str(tmp_path / "task1.zip"),
        "report": str(tmp_path / "work" / "report"),
    }
    assert json.loads((tmp_path / "work" / "test_result.json").read_text()) == result


def test_outputs_that_were_not_written_are_null(tmp_path: Path) -> None:
    runner = run_in(tmp_path / "work")
    runner.cfg["test_evaluator"] = dict(type="DOTAMetric", report_dir="report")
    result = record_test(runner, ResultHook(), {}, tmp_path / "iter_2.pth")
    assert (result["out"], result["submission"], result["report"]) == (None, None, None)


def test_paths_of_a_finished_training_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = record_finished(run_in(tmp_path / "work"), "work/epoch_12.pth", {"epoch": 12, "iter": 600})
    assert (result["checkpoint"], result["epochs"]) == (str(tmp_path / "work" / "epoch_12.pth"), 12)


def test_a_finished_training_of_iterations_has_no_epochs(tmp_path: Path) -> None:
    runner = run_in(tmp_path / "work")
    runner.cfg.train_cfg = dict(max_iters=600)
    result = record_finished(runner, "work/iter_600.pth", {"epoch": 12, "iter": 600})
    assert (result["iterations"], result["epochs"]) == (600, None)


@pytest.mark.parametrize("iterations, drawn", [(1, False), (2, True)])
def test_curves_are_drawn_of_two_iterations_or_more(tmp_path: Path, iterations: int, drawn: bool) -> None:
    pytest.importorskip("matplotlib")
    runner = run_in(tmp_path / "work")
    lines: list[str] = []
    runner.logger = SimpleNamespace(info=lines.append, warning=lines.append)
    rows = [{"lr": 0.01, "loss": 2.0, "step": step} for step in range(1, iterations + 1)]
    scalars = tmp_path / "work" / "20261127_060419" / "vis_data" / "scalars.json"
    scalars.parent.mkdir(parents=True)
    scalars.write_text("\n".join(map(json.dumps, rows)))
    save_learning_curves(runner)
    picture = tmp_path / "work" / "learning_curves.png"
    assert picture.exists() == drawn
    assert lines == ([f"learning curves: {picture}"] if drawn else [])
