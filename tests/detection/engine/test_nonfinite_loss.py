"""Batches whose loss is not finite: recorded, repeated, skipped."""

import math

import pytest
import torch

from rotated_atss.checkpoints.batch_record import read_batch_record
from rotated_atss.cli import main
from rotated_atss.detection.datasets.pipeline import PackSample
from rotated_atss.detection.engine import nonfinite_loss
from rotated_atss.detection.engine.replay import replay

pytestmark = pytest.mark.usefixtures("quick")

POISONED = "P0000__128__96___0"
SIX_STEPS = {"train_cfg.max_iters": 6, "param_scheduler.0.total_steps": 6, "train_dataloader.batch_size": 1}


@pytest.fixture
def poisoned(monkeypatch):
    """Give one pixel of one tile the value NaN, as an image with missing values can have."""
    plain = PackSample.transform

    def pack(self, results):
        packed = plain(self, results)
        if results["img_id"] == POISONED:
            packed["inputs"] = packed["inputs"].float()
            packed["inputs"][0, 5, 5] = math.nan
        return packed

    monkeypatch.setattr(PackSample, "transform", pack)


def test_a_poisoned_batch_is_recorded_and_repeated(poisoned, run, tmp_path, fault, capsys):
    message = fault(run, seed=1)
    path = next(tmp_path.glob("run0/nonfinite_iter_*.pth"))
    assert f"repeat the step with: rotated-atss replay {path}" in message
    record = read_batch_record(path)
    assert path.stem == f"nonfinite_iter_{record.iteration}"
    assert f"at iteration {record.iteration}; the batch was" in message
    assert math.isnan(record.losses["loss"])
    assert [image.name for image in record.images if image.inputs.isnan().any()] == [POISONED]
    result = replay(path)
    assert result.is_reproduced
    assert result.batch.losses == pytest.approx(record.losses, rel=1e-5, nan_ok=True)
    assert {image.name: image.is_valid for image in result.images} == {
        image.name: image.name != POISONED for image in record.images
    }
    assert main(["replay", str(path)]) == 0
    printed = capsys.readouterr().out
    assert f"{POISONED}: 4 boxes, loss nan" in printed
    assert printed.count("<- check this image") == 1
    assert printed.endswith("the recorded step is reproduced\n")


def test_a_repeated_step_has_the_losses_of_training(run, monkeypatch, tmp_path, fault):
    """The record of a step whose losses are all finite gives them again, with batch norm in training mode."""
    original = nonfinite_loss._is_finite
    monkeypatch.setattr(nonfinite_loss, "_is_finite", lambda values: False)
    fault(run, seed=1)
    monkeypatch.setattr(nonfinite_loss, "_is_finite", original)
    path = next(tmp_path.glob("run0/nonfinite_iter_1.pth"))
    losses = read_batch_record(path).losses
    assert losses.keys() == {"loss", "loss_cls", "loss_bbox"}
    assert replay(path).batch.losses == pytest.approx(losses, rel=1e-6)


def test_batches_are_skipped(poisoned, run, tmp_path, read_log, read_scalars):
    folder = run(SIX_STEPS, seed=1, on_nonfinite_loss="skip")
    log = read_log(folder)
    number = len(list(folder.glob("nonfinite_iter_*.pth")))
    assert number == log.count("skipped: ") > 0
    assert f"skipped {number} batch" in log
    assert all(math.isfinite(value) for _, value in read_scalars(folder))
    state = torch.load(folder / "iter_6.pth", weights_only=False)["state_dict"]
    assert all(bool(value.isfinite().all()) for value in state.values())


def test_a_skipped_batch_changes_neither_weights_nor_batch_norm(poisoned, run, monkeypatch):
    states = []
    plain = nonfinite_loss.NonFiniteLossHook._handle_nonfinite_step

    def handle(self, runner, data_batch, outputs):
        before = {**{name: p.clone() for name, p in runner.model.named_parameters()}, **self._buffers}
        plain(self, runner, data_batch, outputs)
        states.append((before, {name: value.clone() for name, value in runner.model.state_dict().items()}))

    monkeypatch.setattr(nonfinite_loss.NonFiniteLossHook, "_handle_nonfinite_step", handle)
    run(SIX_STEPS, seed=1, on_nonfinite_loss="skip")
    assert states
    for before, after in states:
        assert all(torch.equal(before[name], after[name]) for name in after)


def test_skipping_ends_when_every_batch_is_broken(run, monkeypatch, fault, tmp_path):
    monkeypatch.setattr(nonfinite_loss, "MAX_SKIPPED", 3)
    monkeypatch.setattr(nonfinite_loss, "MAX_RECORDS", 2)
    changes = {"model.bbox_head.loss_cls.loss_weight": math.inf, **SIX_STEPS}
    message = fault(run, changes, on_nonfinite_loss="skip")
    assert "is not finite at iteration 3; the batch was" in message
    assert len(list(tmp_path.glob("run0/nonfinite_iter_*.pth"))) == 2


def test_an_unknown_action_is_refused(fault):
    assert "action of NonFiniteLossHook must be one of stop, skip, got 'go'" in fault(
        nonfinite_loss.NonFiniteLossHook, action="go"
    )
