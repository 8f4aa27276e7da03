"""Configs that fit the weights, by shapes and by the file name."""

from __future__ import annotations

import pytest
import torch

from rotated_atss.checkpoints.match import config_pattern, matching_configs
from rotated_atss.configs import config_names


def weights(branches, blocks=6, conv2=(64, 64)):
    state = {f"backbone.layer3.{block}.conv1.weight": (256, 1024, 1, 1) for block in range(blocks)}
    state |= {"backbone.layer1.0.conv2.weight": (*conv2, 3, 3), **branches}
    return {name: torch.empty(shape, device="meta") for name, shape in state.items()}


RETINA, ATSS, FIRST = (f"bbox_head{name}.weight" for name in (".retina_reg", ".atss_reg", "_init.retina_reg"))
CASES = {
    "rotated_atss_hbb_r50_fpn_1x_dota_oc": ({RETINA: (5, 256, 3, 3)}, "oc"),
    "rotated_atss_obb_r50_fpn_1x_dota_le90": ({RETINA: (5, 256, 3, 3)}, "le90"),
    "rotated_atss_obb_r50_fpn_1x_dota_le135": ({RETINA: (5, 256, 3, 3)}, "le135"),
    "rotated_atss_centerness_hbb_r50_fpn_1x_dota_oc": ({ATSS: (5, 256, 3, 3)}, "oc"),
    "rotated_atss_centerness_obb_r50_fpn_1x_dota_le90": ({ATSS: (5, 256, 3, 3)}, "le90"),
    "rotated_atss_centerness_obb_r50_fpn_1x_dota_le135": ({ATSS: (5, 256, 3, 3)}, "le135"),
    "rotated_retinanet_hbb_r50_fpn_1x_dota_oc": ({RETINA: (45, 256, 3, 3)}, "oc"),
    "rotated_retinanet_obb_r50_fpn_1x_dota_le90": ({RETINA: (45, 256, 3, 3)}, "le90"),
    "rotated_retinanet_obb_r50_fpn_1x_dota_le135": ({RETINA: (45, 256, 3, 3)}, "le135"),
    "r3det_r50_fpn_1x_dota_oc": ({FIRST: (45, 256, 3, 3)}, "oc"),
    "r3det_atss_r50_fpn_1x_dota_oc": ({FIRST: (5, 256, 3, 3)}, "oc"),
}


@pytest.mark.parametrize("name", CASES)
def test_config_of_an_oriented_detector(name):
    branches, angle_version = CASES[name]
    pattern = config_pattern(weights(branches), "mmrotate-0.x", angle_version)
    matches = matching_configs(pattern, config_names())
    assert matches[0] == name
    assert all("_ms_rr_" in other for other in matches[1:])
    assert name in matching_configs(config_pattern(weights(branches), "mmrotate-0.x", None), config_names())


def test_file_name_ranks_configs_with_equal_shapes():
    pattern = config_pattern(weights({RETINA: (45, 256, 3, 3)}), "mmrotate-0.x", "le90")
    plain, rotated = matching_configs(pattern, config_names())
    assert matching_configs(pattern, config_names(), f"{rotated}-1da1ec9c") == [rotated, plain]
    assert matching_configs(pattern, config_names(), f"{plain}-c0097bc4") == [plain, rotated]
    assert matching_configs(pattern, config_names(), f"my_{rotated}") == [plain, rotated]


@pytest.mark.parametrize(
    "state",
    [
        weights({}),
        weights({RETINA: (36, 256, 3, 3)}),
        weights({ATSS: (10, 256, 3, 3)}),
        weights({ATSS: (4, 256, 3, 3)}, blocks=7),
        {ATSS: torch.empty(4, 256, 3, 3, device="meta")},
    ],
)
def test_unknown_detector_gives_none(state):
    assert config_pattern(state, "mmdet-3.x", None) is None


def test_backbone_without_a_config_matches_none():
    pattern = config_pattern(weights({ATSS: (4, 256, 3, 3)}, blocks=23, conv2=(128, 4)), "mmdet-3.x", None)
    assert "x101_32x4d" in pattern
    assert matching_configs(pattern, config_names()) == []
