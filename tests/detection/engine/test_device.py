"""The device of a run: checks, MMEngine's choice, and detectors on a simulated mps."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from mmengine.device import get_device
from torch import nn

from rotated_atss.cli import COMMANDS, build_parser
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.device import resolve_device, use_device
from rotated_atss.detection.engine.inference import load_detector
from rotated_atss.detection.engine.network import store_channels_last
from rotated_atss.detection.engine.options import TestOptions, TrainOptions
from rotated_atss.detection.engine.runner import test as run_test
from rotated_atss.detection.engine.runner import train
from tests.detection.test_models_gpu import batch
from tests.references.simulated_mps import SimulatedMps, as_mps, devices, move_model

DEMO = "rotated_atss_obb_r18_demo_le90"
SMALL_BACKBONE = {
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 16,
    "model.backbone.stem_channels": 16,
    "model.neck.in_channels": [16, 32, 64, 128],
}


def test_default_device_is_the_cuda_gpu_if_there_is_one():
    assert resolve_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device(torch.device("cpu")).type == "cpu"


@pytest.mark.parametrize("device", ["cuda:17", "gpu", "xla", "meta"])
def test_missing_device_is_refused(device, fault):
    assert f"--device: no such device: '{device}' (choose from cpu" in fault(resolve_device, device)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="mps is available")
def test_missing_mps_is_refused_by_every_command(fault):
    expected = "--device: no such device: 'mps' (mps needs macOS and an Apple GPU; choose from cpu"
    assert expected in fault(load_detector, DEMO, "none.pth", device="mps")
    assert expected in fault(train, DEMO, TrainOptions(device="mps"))
    assert expected in fault(run_test, DEMO, "none.pth", TestOptions(device="mps"))


def test_commands_that_run_a_network_take_a_device():
    takes = {name for name in COMMANDS if "--device" in build_parser(name)._option_string_actions}
    assert takes == {"train", "test", "replay", "predict", "demo"}


def test_mmengine_uses_the_chosen_device_and_not_mps_unasked(monkeypatch):
    monkeypatch.setattr("mmengine.device.utils.DEVICE", "mps")  # what MMEngine chooses on a Mac
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in (None, "cpu"):
        with use_device(device):
            assert get_device() == "cpu"
        assert get_device() == "mps"


def test_training_runs_on_the_chosen_device(run, monkeypatch, quick):
    monkeypatch.setattr("mmengine.device.utils.DEVICE", "meta")  # training would fail on it
    folder = run({"train_cfg.max_iters": 1, "default_hooks.checkpoint.interval": 1}, device="cpu")
    assert (folder / "iter_1.pth").is_file()


def test_device_and_launcher_exclude_each_other(fault):
    message = fault(train, DEMO, TrainOptions(device="cpu", launcher="pytorch"))
    assert message == "--device cpu and --launcher pytorch cannot be combined (omit --device)"


@pytest.mark.parametrize("chosen, expected", [(None, "1"), ("0", "0")])
def test_entry_points_enable_the_fallback_of_mps_before_torch_is_imported(chosen, expected, repo_root):
    code = (
        "import os, sys; from rotated_atss.cli import main; main([]); assert 'torch' not in sys.modules;"
        "print('chosen', os.environ['PYTORCH_ENABLE_MPS_FALLBACK'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTORCH_ENABLE_MPS_FALLBACK"}
    environment.update({} if chosen is None else {"PYTORCH_ENABLE_MPS_FALLBACK": chosen})
    done = subprocess.run([sys.executable, "-c", code], cwd=repo_root, env=environment, capture_output=True, text=True)
    assert done.stdout.endswith(f"chosen {expected}\n"), done.stderr


@pytest.mark.parametrize("name", ["rotated_atss_obb_r50_fpn_1x_dota_le90", "r3det_atss_r50_fpn_1x_dota_oc"])
def test_detector_trains_and_detects_on_mps_as_on_the_cpu(name, one_thread):
    """No part of a training step or of inference creates float64 tensors on the device, or mixes devices."""
    torch.manual_seed(0)
    model = build_model(load_config(name, {"model.backbone.init_cfg": None, **SMALL_BACKBONE}))
    model.init_weights()
    on_cpu, _ = losses_and_detections(copy.deepcopy(model), name)
    with SimulatedMps():
        on_mps, detections = losses_and_detections(move_model(model), name)
        assert all(set(devices(dict(each.pred_instances.items()))) == {"mps"} for each in detections)
    assert on_mps == pytest.approx(on_cpu, rel=1e-5)
    assert on_mps["loss_bbox"] > 0
    assert all(len(each.pred_instances.scores) for each in detections)


def losses_and_detections(model, name):
    data = batch(name, size=64)
    losses = model.train()(**model.data_preprocessor(copy.deepcopy(data), True), mode="loss")
    total, values = model.parse_losses(losses)
    total.backward()
    for part in model.eval().modules():
        if getattr(part, "test_cfg", None):
            part.test_cfg.score_thr = 0.005
    with torch.no_grad():
        return {key: float(value) for key, value in values.items()}, model(
            **model.data_preprocessor(data, False), mode="predict"
        )


def test_weights_on_mps_are_not_stored_channels_last():
    network = nn.Conv2d(3, 8, 3)
    with SimulatedMps():
        store_channels_last(move_model(network))
        assert network.weight.is_contiguous()
    assert as_mps(torch.ones(1)).device.type == "mps"
