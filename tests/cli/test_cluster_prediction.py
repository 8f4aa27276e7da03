"""A worker loads a model once, and again only if the file or an option changes."""

from __future__ import annotations

import argparse
import os
import pickle

import pytest

from rotated_atss.cli import _cluster_prediction
from rotated_atss.cli._cluster_prediction import ImageJob, ModelSource, predict_on_worker
from rotated_atss.errors import UserError

ARGS = argparse.Namespace(device="cpu", amp=False, channels_last=False, fast=False, score=0.3)


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """The model files that are loaded, in order; each loaded model is a number."""
    names = []

    def load(config, checkpoint, args, options):
        names.append((config, os.path.basename(checkpoint), args.device, dict(options)))
        return len(names)

    monkeypatch.setattr(_cluster_prediction, "load_any_detector", load)
    monkeypatch.setattr(_cluster_prediction, "_detectors", {})
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"weights")
    return names


def test_a_model_is_loaded_once_per_file_and_options(tmp_path, loaded):
    source = ModelSource(None, str(tmp_path / "a.pth"), ARGS, {})
    assert [source.load_once() for _ in range(3)] == [1, 1, 1]
    assert pickle.loads(pickle.dumps(source)).load_once() == 1
    on_gpu = argparse.Namespace(**{**vars(ARGS), "device": "cuda:1"})
    others = [
        ModelSource(None, str(tmp_path / "b.pth"), ARGS, {}),
        ModelSource("config.py", str(tmp_path / "a.pth"), ARGS, {}),
        ModelSource(None, str(tmp_path / "a.pth"), on_gpu, {}),
        ModelSource(None, str(tmp_path / "a.pth"), ARGS, {"model.x": 1}),
    ]
    assert [other.load_once() for other in others] == [2, 3, 4, 5]
    os.utime(tmp_path / "a.pth", (1, 1))  # trained again
    assert source.load_once() == 6
    assert loaded[-1] == (None, "a.pth", "cpu", {})


def test_an_image_that_cannot_be_read_is_returned(tmp_path, loaded):
    source = ModelSource(None, str(tmp_path / "a.pth"), ARGS, {})
    seen = []

    def predict(detector, path):
        seen.append(detector)
        if path.name == "bad.png":
            raise UserError("not a readable image", where=path)

    errors = [predict_on_worker(ImageJob(source, predict, tmp_path / name)) for name in ("good.png", "bad.png")]
    assert errors[0] is None
    assert str(errors[1]) == f"{tmp_path}/bad.png: not a readable image"
    assert seen == [1, 1]
