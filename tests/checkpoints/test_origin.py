"""Whose checkpoint it is, which angle version, which classes; and what cannot be told."""

from __future__ import annotations

import pytest
import torch

from rotated_atss.checkpoints import SOURCES, find_origin
from rotated_atss.errors import UserError

CONFIG = """
angle_version = 'le90'
model = dict(
    bbox_head=dict(
        bbox_coder=dict(type='DeltaXYWHAOBBoxCoder', angle_range='{}', norm_factor=None, proj_xy=True)))
"""


def retina(numbers=5, classes=15):
    return {
        "backbone.conv1.weight": torch.zeros(64, 3, 7, 7),
        "bbox_head.retina_cls.weight": torch.zeros(classes, 256, 3, 3),
        "bbox_head.retina_reg.weight": torch.zeros(numbers, 256, 3, 3),
    }


def atss(numbers):
    return {"bbox_head.atss_reg.weight": torch.zeros(numbers, 256, 3, 3)}


def fault(*args, **kwargs):
    with pytest.raises(UserError) as caught:
        find_origin(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


GUESSES = {
    "meta of 0.x": ({"meta": {"mmrotate_version": "0.3.4+abc"}, "state_dict": retina()}, "mmrotate-0.x", "0.3.4+abc"),
    "mmcv 1": ({"meta": {"mmcv_version": "1.7.1"}, "state_dict": retina(45)}, "mmrotate-0.x", "mmcv_version 1.7.1"),
    "config text": ({"meta": {"config": "model = dict()"}, "state_dict": retina()}, "mmrotate-0.x", "has config"),
    "mmengine": ({"meta": {"mmengine_version": "0.8.0"}, "state_dict": retina()}, "mmrotate-1.x", "mmengine_version"),
    "message hub": ({"message_hub": {}, "state_dict": retina(45)}, "mmrotate-1.x", "message_hub"),
    "centerness": ({"state_dict": atss(5)}, "mmrotate-1.x", "centerness branch"),
    "R3Det of 0.x": ({"refine_head.0.retina_reg.weight": torch.zeros(5), **retina()}, "mmrotate-0.x", "refine_head.0"),
    "R3Det of 1.x": ({"bbox_head_init.retina_reg.weight": torch.zeros(45)}, "mmrotate-1.x", "bbox_head_init"),
    "MMDetection 2": ({"meta": {"mmdet_version": "2.1.0"}, "state_dict": atss(4)}, "mmdet-2.x", "mmdet_version 2.1.0"),
    "MMDetection 3": (
        {"meta": {"mmengine_version": "0.1"}, "state_dict": atss(4)},
        "mmdet-3.x",
        "mmengine_version 0.1",
    ),
    "bare, horizontal": (atss(4), "mmdet-3.x", "which 2.x and 3.x share"),
    "official": ({"model": {"module.rpn.head.cls_tower.0.weight": torch.zeros(4)}}, "atss-official", "cls_tower.0"),
}


@pytest.mark.parametrize("case", GUESSES)
def test_guess(case):
    content, source, word = GUESSES[case]
    origin = find_origin(content, "weights.pth")
    assert origin.source == source
    assert word in origin.reason


def test_what_is_told_counts_more():
    for source in ("mmdet-2.x", "mmdet-3.x"):
        origin = find_origin({"meta": {"mmdet_version": "2.1"}, "state_dict": atss(4)}, "a.pth", source=source)
        assert (origin.source, origin.reason) == (source, "as told")
    assert find_origin(retina(), "a.pth", source="mmrotate-1.x").source == "mmrotate-1.x"


def test_what_is_told_must_be_possible():
    official = {"rpn.head.bbox_pred.weight": torch.zeros(4, 256, 3, 3)}
    for state, possible in ((atss(4), "mmdet"), (retina(), "mmrotate"), (official, "atss-official")):
        for source in SOURCES:
            if source.startswith(possible):
                assert find_origin(state, "a.pth", source=source).source == source
            else:
                assert f"a.pth: not of {source}: it has " in fault(state, "a.pth", source=source)


@pytest.mark.parametrize(
    "name, source",
    [
        ("rotated_retinanet_obb_r50_fpn_1x_dota_le90-c0097bc4.pth", "mmrotate-0.x"),
        ("rotated_atss_hbb_r50_fpn_1x_dota_oc-eaa94033.pth", "mmrotate-0.x"),
        ("rotated-retinanet-rbox-le90_r50_fpn_1x_dior-caf9143c.pth", "mmrotate-1.x"),
    ],
)
def test_bare_weights_are_told_by_their_published_name(name, source):
    origin = find_origin(retina(), name)
    assert (origin.source, origin.angle_version) == (source, "oc" if "_oc" in name else "le90")


def test_coding_from_the_config_then_the_name():
    meta = {"mmcv_version": "1.7", "config": CONFIG.format("le135"), "exp_name": "x_oc.py"}
    content = {"meta": meta, "state_dict": retina()}
    assert find_origin(content, "model_le90.pth").angle_version == "le135"
    assert find_origin(content, "model_le90.pth", angle_version="oc").angle_version == "oc"
    meta["config"] = "model = dict(bbox_head=build('x'))"
    assert find_origin(content, "model_le90.pth").angle_version == "le90"
    assert find_origin(content, "model.pth").angle_version == "oc"
    del meta["exp_name"]
    assert find_origin(content, "block_docs.pth").angle_version is None


@pytest.mark.parametrize(
    "meta",
    [{"CLASSES": ("a", "b")}, {"dataset_meta": {"CLASSES": ["a", "b"]}}, {"dataset_meta": {"classes": ("a", "b")}}],
)
def test_classes(meta):
    assert find_origin({"meta": {**meta, "mmcv_version": "1.4"}, "state_dict": retina()}, "a.pth").classes == ("a", "b")


@pytest.mark.parametrize("wrong", [None, 3, [], "text"])
def test_odd_metas_are_no_obstacle(wrong):
    for key in ("dataset_meta", "cfg", "CLASSES"):
        content = {"meta": {key: wrong, "mmcv_version": "1.4"}, "state_dict": retina()}
        assert find_origin(content, "a.pth").source in SOURCES
    assert find_origin({"meta": wrong, "state_dict": atss(4)}, "a.pth").source == "mmdet-3.x"


def test_what_cannot_be_told():
    message = "a.pth: nothing tells whether mmrotate 0.x or 1.x wrote these weights"
    assert fault(retina(), "a.pth").startswith(message)
    assert "--from mmrotate-0.x" in fault(retina(), "a.pth")
    other = {"state_dict": {"fc.weight": torch.zeros(3)}}
    for told in ({}, {"source": "mmdet-2.x"}):
        assert fault(other, "a.pth", **told) == (
            "a.pth: no detector of a kind that is known (it has fc.weight, ..., but, whatever --from says, none of "
            "retina_reg.weight, atss_reg.weight, rpn.head.bbox_pred.weight)"
        )
    assert fault({"meta": {}, "optimizer": {}}, "a.pth") == "a.pth: holds no weights (it has: meta, optimizer)"
    assert fault({"state_dict": [1]}, "a.pth") == "a.pth: holds no weights (it has: state_dict)"
    assert fault({}, "a.pth") == "a.pth: holds no weights (it has: -)"


def test_our_own_are_left_alone():
    for meta in (
        {"mmengine_version": "0.10", "cfg": "custom_imports = dict(imports=['rotated_atss.detection'])"},
        {"converted_from": "mmrotate-0.x"},
    ):
        message = fault({"meta": meta, "state_dict": retina()}, "a.pth")
        assert message == "a.pth: a checkpoint of this project already (use it as it is)"
