"""The demo's training schedule and output folder; its whole run is `make demo`."""

from __future__ import annotations

import json
import signal
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from rotated_atss.cli import demo
from rotated_atss.io.signals import TerminatedError


@pytest.mark.parametrize(("iterations", "interval"), [(20, 2), (100, 10), (2000, 50)])
def test_short_training_logs_at_least_ten_times(iterations: int, interval: int) -> None:
    schedule = demo._schedule_options(Namespace(iterations=iterations))
    assert schedule["default_hooks.logger.interval"] == interval
    assert schedule["train_cfg.max_iters"] == schedule["default_hooks.checkpoint.interval"] == iterations


def test_default_training_keeps_the_config() -> None:
    assert demo._schedule_options(Namespace(iterations=None)) == {}


@pytest.mark.parametrize("other", ["tiles/val/images/P1.png", "data.yaml", demo.RECORD_FILE])
def test_folder_with_other_files_is_refused_and_unchanged(
    tmp_path: Path, other: str, user_error: Callable[..., str]
) -> None:
    pytest.importorskip("mmdet")
    file = tmp_path / other
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}")
    assert f"{tmp_path}: the output folder is not empty and contains no earlier demo (choose a new or empty" in (
        user_error("demo", "--out", tmp_path)
    )
    assert f"{file}: the output is not a folder (choose a new" in user_error("demo", "--out", file)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "{}"


@pytest.mark.parametrize("exists", [False, True])
def test_new_and_empty_folders_and_those_of_an_earlier_demo_are_accepted(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    demo._claim_folder(out)
    (out / "tiles").mkdir()
    demo._claim_folder(out)
    assert json.loads((out / "demo.json").read_bytes()) == {"written_by": "rotated-atss demo"}


def test_terminated_demo_names_no_option_of_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = pytest.importorskip("rotated_atss.detection.engine.runner")

    def train(*_: object) -> None:
        raise TerminatedError(signal.SIGTERM, "interrupted.pth is written at iteration 3; continue with --resume")

    monkeypatch.setattr(runner, "train", train)
    args = Namespace(out=str(tmp_path), device="cpu", seed=0, iterations=20)
    with pytest.raises(TerminatedError) as caught:
        demo._train(args, {})
    assert str(caught.value) == "terminated by SIGTERM: run the demo again; it starts at the beginning"
    assert caught.value.exit_code == 143
