"""Description of the models of configs."""

from __future__ import annotations

import pytest

from rotated_atss.checkpoints.model_info import Window
from rotated_atss.configs import config_names
from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.model_metadata import default_window
from rotated_atss.detection.engine.recorded_config import check_agreement

DEMO = "rotated_atss_obb_r18_demo_le90"


@pytest.mark.parametrize(
    ("name", "box_type", "angle_version", "window", "order", "resize"),
    [
        ("r3det_r50_fpn_1x_dota_oc", "obb", "oc", (1024, 200), "RGB", (1024, 1024)),
        ("rotated_atss_centerness_obb_r50_fpn_1x_dota_le135", "obb", "le135", (1024, 200), "RGB", (1024, 1024)),
        ("rotated_ablation_point_r50_fpn_1x_dota_le90", "obb", "le90", (1024, 200), "RGB", (1024, 1024)),
        ("atss_r50_fpn_1x_coco", "hbb", None, (0, 0), "RGB", (1333, 800)),
        ("atss_official_r50_fpn_1x_coco", "hbb", None, (0, 0), "BGR", (1333, 800)),
        (DEMO, "obb", "le90", (1024, 200), "RGB", None),
    ],
)
def test_description_of_configs(name, box_type, angle_version, window, order, resize, describe):
    info = describe(name)
    assert (info.config_name, info.box_type, info.angle_version) == (name, box_type, angle_version)
    assert info.window == Window(*window)
    assert (info.preprocessing.channel_order, info.preprocessing.resize) == (order, resize)
    assert info.preprocessing.pad_divisor == 32
    assert info.config_values()["model"] == load_config(name).to_dict()["model"]
    assert type(info).from_json(info.to_json()) == info


@pytest.mark.slow
def test_every_config_can_be_described(describe):
    for name in config_names():
        info = describe(name)
        assert check_agreement(load_config(name), info, name) is None
        assert type(info).from_json(info.to_json()) == info


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("rotated_atss_obb_r50_fpn_1x_codrone_le90", (1180, 230)),
        ("rotated_atss_obb_r50_fpn_1x_dior_r_le90", (800, 156)),
        ("rotated_atss_obb_r50_fpn_6x_hrsc2016_rr_le90", (0, 0)),
    ],
)
def test_windows_without_a_record_follow_the_test_pipeline(name, window):
    assert default_window(load_config(name)) == Window(*window)
