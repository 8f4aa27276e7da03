"""Published models as the start of a training."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.model_store import find_start_weights


@pytest.fixture
def publish_file(tmp_path, monkeypatch):
    """``publish_file(name, kind, content)`` adds a local file to the registry."""
    monkeypatch.setenv("ROTATED_ATSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ROTATED_ATSS_REGISTRY", str(tmp_path / "models.json"))

    def add(name, kind, content):
        path = tmp_path / f"{name}.pth"
        torch.save(content, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entry = dict(name=name, kind=kind, url=path.name, sha256_prefix=digest, license="MIT", source="test")
        (tmp_path / "models.json").write_text(json.dumps({"format": 1, "models": [entry]}))

    return add


@pytest.mark.usefixtures("quick")
def test_training_starts_from_a_published_backbone(run, publish_file):
    first = read_checkpoint(run({"train_cfg.max_iters": 1}, seed=0) / "iter_1.pth")["state_dict"]
    backbone = {name.removeprefix("backbone."): value for name, value in first.items() if name.startswith("backbone.")}
    publish_file("small", "backbone", {**backbone, "fc.weight": torch.ones(1)})
    changes = {"train_cfg.max_iters": 1, "model.backbone.frozen_stages": 4, "model.backbone.norm_eval": True}
    state = read_checkpoint(run(changes, seed=1, init_from="small") / "iter_1.pth")["state_dict"]
    assert all(torch.equal(state[f"backbone.{name}"], value) for name, value in backbone.items())
    assert not torch.equal(state["neck.fpn_convs.0.conv.weight"], first["neck.fpn_convs.0.conv.weight"])


@pytest.mark.usefixtures("quick")
def test_training_starts_from_a_published_detector(run, publish_file, read_log, tmp_path):
    trained = read_checkpoint(run({"train_cfg.max_iters": 1}, seed=0) / "iter_1.pth")
    publish_file("small", "detector", {"state_dict": trained["state_dict"], "meta": trained["meta"]})
    assert find_start_weights("small") == (tmp_path / "cache" / "small.pth", False)
    folder = run({"train_cfg.max_iters": 1}, seed=1, init_from="small")
    number = len([name for name in trained["state_dict"] if not name.endswith("num_batches_tracked")])
    assert f"{tmp_path / 'cache' / 'small.pth'}: {number} of {number} weights loaded" in read_log(folder)
