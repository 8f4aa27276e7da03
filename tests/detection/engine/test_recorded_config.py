"""The config of a model file: contradictions are refused, and nothing of it is executed."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from mmdet.registry import MODELS, TRANSFORMS

from rotated_atss.checkpoints.model_info import KEY
from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.inference import load_detector
from rotated_atss.detection.engine.recorded_config import check_agreement, resolve_config

DEMO = "rotated_atss_obb_r18_demo_le90"
ATTACKS = [
    "model = {'type': 'subprocess.Popen', 'args': COMMAND}",
    "model = {'type': 'mmdet.subprocess.Popen', 'args': COMMAND}",
    "model = {'type': 'RetinaNet', 'neck': {'type': 'subprocess.Popen', 'args': COMMAND}}",
    "model = {'type': 'RetinaNet', 'bbox_head': [{'type': 'subprocess.Popen', 'args': COMMAND}]}",
    "model = {'type': 'ByteTrack', 'cmc': {'type': 'CameraMotionCompensation', 'warp_mode': 'print()'}}",
    "model = {'type': 'this'}",
    "model = {'type': 'RetinaNet', '_scope_': 'unittest'}",
    "model = {'type': 'unittest.RetinaNet'}",
    "default_scope = 'unittest'",
    "custom_imports = {'imports': ['this']}",
    "test_dataloader = {'dataset': {'type': 'BaseDetDataset', 'ann_file': 'a.PKL'}}",
    "optim_wrapper = {'constructor': 'subprocess.Popen'}",
]


def test_config_that_contradicts_the_record_is_refused(fault, describe):
    info = describe(DEMO)
    assert check_agreement(load_config(DEMO), info, "a.pth") is None
    other = load_config(DEMO, {"model.bbox_head.bbox_coder.angle_version": "le135"})
    assert fault(check_agreement, other, info, "a.pth") == (
        "a.pth: model.bbox_head.bbox_coder.angle_version is 'le90' in the checkpoint, but 'le135' in the config "
        f"{DEMO} (omit the config, because the checkpoint contains its own)"
    )
    equal = {
        "model.data_preprocessor.type": "DetDataPreprocessor",
        "model.data_preprocessor.mean": (123.675, 116.28, 103.53),
    }
    assert check_agreement(load_config(DEMO, equal), info, "a.pth") is None
    both = {"model.bbox_head.anchor_generator.angle": 1.0, "model.bbox_head.bbox_coder.angle_version": "le135"}
    assert "angle_version is " in fault(check_agreement, load_config(DEMO, both), info, "a.pth")
    unset = load_config(DEMO)
    del unset.model.bbox_head.bbox_coder["proj_xy"]
    message = fault(check_agreement, unset, info, "a.pth")
    assert "model.bbox_head.bbox_coder.proj_xy is 'True' in the checkpoint, but not set in the config" in message
    off = load_config(DEMO, {"model.bbox_head.bbox_coder.norm_factor": None})
    assert check_agreement(off, info, "a.pth") is None
    gray = {"model.data_preprocessor.mean": [1.0, 1.0, 1.0]}
    assert "model.data_preprocessor.mean is " in fault(check_agreement, load_config(DEMO, gray), info, "a.pth")
    assert check_agreement(load_config(DEMO, gray), info, "a.pth", gray) is None
    without_config = dataclasses.replace(info, config=None)
    assert "angle_version is 'le90' in the checkpoint" in fault(check_agreement, other, without_config, "a.pth")


def test_named_classes_that_contradict_the_record_are_refused(fault, describe):
    info = describe(DEMO)
    named = {"test_dataloader.dataset.metainfo.classes": ["b", "a"]}
    for config in (DEMO, None):
        message = fault(resolve_config, config, info, "a.pth", named)
        assert message.startswith("a.pth: the classes must be a, b, got b, a from --cfg-options")
    assert resolve_config(None, info, "a.pth", {"test_dataloader.dataset.metainfo.classes": ["a", "b"]})


@pytest.mark.parametrize("values", ATTACKS)
def test_values_of_a_recorded_config_run_no_code(tmp_path, fault, describe, values):
    """MMEngine calls any function that a ``type`` names."""
    info = json.loads(describe(DEMO).to_json())
    command = ["mkdir", str(tmp_path / "folder")]
    info["config"] = f"default_scope = 'rotated_atss.detection'\n{values.replace('COMMAND', repr(command))}\n"
    torch.save({"state_dict": {}, "meta": {KEY: json.dumps(info)}}, tmp_path / "a.pth")
    message = fault(load_detector, tmp_path / "a.pth", device="cpu")
    assert message.startswith(f"{tmp_path}/")
    assert any(text in message for text in ("must be", "must name", "cannot build"))
    assert not (tmp_path / "folder").exists()


def test_only_registered_classes_are_built_from_a_recorded_config(describe):
    """Some classes build others by names that are no value of ``type``."""
    resolve_config(None, describe(DEMO), "a.pth", None)
    assert MODELS.get("ResNet").__name__ == "ResNet"
    assert MODELS.get("subprocess.Popen") is None
    with pytest.raises(KeyError, match=r"subprocess\.Popen is not in"):
        TRANSFORMS.build({"type": "RandomResize", "scale": (9, 9), "resize_type": "subprocess.Popen", "args": "true"})


def test_recorded_config_runs_no_code(tmp_path, fault, describe):
    info = json.loads(describe(DEMO).to_json())
    info["config"] = f"model = __import__('os').mkdir({str(tmp_path / 'folder')!r})"
    torch.save({"state_dict": {}, "meta": {KEY: json.dumps(info)}}, tmp_path / "a.pth")
    message = fault(load_detector, tmp_path / "a.pth", device="cpu")
    assert "a.pth: the recorded config must be assignments of plain values" in message
    assert not (tmp_path / "folder").exists()
