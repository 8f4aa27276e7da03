"""Pretrained weights of the backbone."""

import socket
import time
import urllib.error
import urllib.request

import pytest
import torch

from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.options import TrainOptions
from rotated_atss.detection.engine.runner import train

PUBLISHED = "rotated_atss_obb_r50_fpn_1x_dota_le90"

WEIGHTS = "model.backbone.init_cfg"

pytestmark = pytest.mark.usefixtures("quick")


def test_failed_download_is_reported_before_training(run_published, monkeypatch, tmp_path, fault):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))  # nothing downloaded before

    def offline(*args, **kwargs):
        assert socket.getdefaulttimeout() == 10  # so that a network that drops packets does not block
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    start = time.perf_counter()
    error = fault(run_published, {WEIGHTS: dict(type="Pretrained", checkpoint="torchvision://resnet18")})
    assert time.perf_counter() - start < 20
    assert socket.getdefaulttimeout() is None
    start = "cannot load the backbone's pretrained weights torchvision://resnet18: <urlopen error Name or service"
    assert start in error
    assert "--from-scratch" in error
    assert "--cfg-options model.backbone.init_cfg.checkpoint=PATH" in error
    assert not (tmp_path / "work").exists()


def test_from_scratch_needs_no_weights_and_freezes_nothing(tmp_path, tiny_published_options):
    changes = {
        key: value for key, value in tiny_published_options.items() if "frozen" not in key and "norm_" not in key
    }
    changes.pop(WEIGHTS)
    folder = train(PUBLISHED, TrainOptions(work_dir=str(tmp_path / "w"), from_scratch=True, cfg_options=changes))
    text = (folder / f"{PUBLISHED}.py").read_text()
    assert "frozen_stages=-1" in text
    assert "norm_eval=False" in text
    assert "init_cfg=None" in text


def test_weights_of_a_local_file(run_published, tmp_path, foreign, fault):
    from mmdet.models.backbones import ResNet

    torch.manual_seed(5)
    backbone = ResNet(18, base_channels=16, stem_channels=16)
    backbone.init_weights()
    torch.save(backbone.state_dict(), tmp_path / "backbone.pth")
    local = dict(type="Pretrained", checkpoint=str(tmp_path / "backbone.pth"))
    frozen = {"model.backbone.frozen_stages": 1, "model.backbone.norm_eval": True}
    folder = run_published({WEIGHTS: local, **frozen})
    state = read_checkpoint(folder / "epoch_1.pth")["state_dict"]
    assert torch.equal(state["backbone.conv1.weight"], backbone.state_dict()["conv1.weight"])
    for name in ("gone", "evil", "cut"):
        error = fault(run_published, {WEIGHTS: dict(type="Pretrained", checkpoint=str(foreign / f"{name}.pth"))})
        assert "cannot load the backbone's pretrained weights" in error
        assert "--from-scratch" in error
    assert not (foreign / "made").exists()
