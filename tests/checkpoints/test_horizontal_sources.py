"""Converted weights of MMDetection give the raw outputs of MMDetection's models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

ATSS = "atss/atss_r50_fpn_1x_coco.py"
DCN = {
    "model.backbone.dcn": dict(type="DCNv2", deform_groups=1),
    "model.backbone.stage_with_dcn": (False, True, True, True),
}


def meta_of(source, text):
    if source == "mmdet-3.x":
        return {"mmengine_version": "0.8.0", "cfg": text, "dataset_meta": {"CLASSES": ("a", "b")}}
    return {
        "mmdet_version": "2.28.0",
        "config": text,
        "CLASSES": ("a", "b"),
        "env_info": "linux",
        "mean": np.float64(1),
    }


@torch.no_grad()
def outputs(model):
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    return [level for branch in model.bbox_head(model.extract_feat(image)) for level in branch]


@pytest.mark.parametrize("source", ["mmdet-2.x", "mmdet-3.x"])
@pytest.mark.parametrize("deformable", [False, pytest.param(True, marks=pytest.mark.baseline)])
def test_raw_outputs_of_atss_are_equal(source, deformable, mmdet_3x, build_converted, convert):
    text, baseline = mmdet_3x(ATSS, DCN if deformable else {})
    state = baseline.state_dict()
    if source == "mmdet-2.x":  # also with the averaged copy of the weights
        state = {name.replace("conv2.conv_offset", "conv2_offset"): value for name, value in state.items()}
        state |= {"ema_" + name.replace(".", "_"): value for name, value in baseline.state_dict().items()}
    content = {"meta": meta_of(source, text), "state_dict": {f"module.{name}": value for name, value in state.items()}}
    name = "atss_dcnv2_r50_fpn_1x_coco" if deformable else "atss_r50_fpn_1x_coco"
    changes = {"model.bbox_head.last_conv_cfg": None}
    conversion = convert(content, name, changes=changes)
    assert len(conversion.mapped) == len(baseline.state_dict())
    assert not conversion.filled
    assert not conversion.notes
    assert len(conversion.dropped) == (len(baseline.state_dict()) if source == "mmdet-2.x" else 0)
    model = build_converted(name, conversion.state, changes)
    for expected, output in zip(outputs(baseline), outputs(model)):
        assert torch.allclose(expected, output, atol=1e-5, rtol=1e-4)


def test_depth_is_detected_from_the_shapes(mmdet_3x):
    from rotated_atss.checkpoints.match import config_pattern, matching_configs
    from rotated_atss.configs import config_names

    for config, expected in (
        (ATSS, "atss_r50_fpn_1x_coco"),
        ("atss/atss_r101_fpn_1x_coco.py", "atss_r101_fpn_2x_ms_coco"),
    ):
        _, baseline = mmdet_3x(config)
        pattern = config_pattern(baseline.state_dict(), "mmdet-3.x", None)
        assert matching_configs(pattern, config_names()) == [expected]
