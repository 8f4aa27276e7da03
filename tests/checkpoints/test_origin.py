"""Source, angle version and classes of a checkpoint, and unsupported checkpoints."""

from __future__ import annotations

import pytest
import torch

from rotated_atss.checkpoints.keys import SOURCES
from rotated_atss.checkpoints.origin import find_origin
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


def error_of(*args, **kwargs):
    with pytest.raises(UserError) as caught:
        find_origin(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


SOURCE_CASES = {
    "meta of 0.x": ({"meta": {"mmrotate_version": "0.3.4+abc"}, "state_dict": retina()}, "mmrotate-0.x", "0.3.4+abc"),
    "mmcv 1": ({"meta": {"mmcv_version": "1.7.1"}, "state_dict": retina(45)}, "mmrotate-0.x", "mmcv_version 1.7.1"),
    "config text": ({"meta": {"config": "model = dict()"}, "state_dict": retina()}, "mmrotate-0.x", "config in meta"),
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
    "bare, horizontal": (atss(4), "mmdet-3.x", "shared by 2.x and 3.x"),
    "official": ({"model": {"module.rpn.head.cls_tower.0.weight": torch.zeros(4)}}, "atss-official", "cls_tower.0"),
}


@pytest.mark.parametrize("case", SOURCE_CASES)
def test_source_is_detected(case):
    content, source, evidence = SOURCE_CASES[case]
    origin = find_origin(content, "weights.pth")
    assert origin.source == source
    assert evidence in origin.reason


def test_given_source_overrides_detection():
    for source in ("mmdet-2.x", "mmdet-3.x"):
        origin = find_origin({"meta": {"mmdet_version": "2.1"}, "state_dict": atss(4)}, "a.pth", source=source)
        assert (origin.source, origin.reason) == (source, "as given")
    assert find_origin(retina(), "a.pth", source="mmrotate-1.x").source == "mmrotate-1.x"


def test_given_source_must_fit_the_weights():
    official = {"rpn.head.bbox_pred.weight": torch.zeros(4, 256, 3, 3)}
    for state, family in ((atss(4), "mmdet"), (retina(), "mmrotate"), (official, "atss-official")):
        for source in SOURCES:
            if source.startswith(family):
                assert find_origin(state, "a.pth", source=source).source == source
            else:
                assert f"a.pth: not a checkpoint of {source}: it has " in error_of(state, "a.pth", source=source)


@pytest.mark.parametrize(
    "name, source",
    [
        ("rotated_retinanet_obb_r50_fpn_1x_dota_le90-c0097bc4.pth", "mmrotate-0.x"),
        ("rotated_atss_hbb_r50_fpn_1x_dota_oc-eaa94033.pth", "mmrotate-0.x"),
        ("rotated-retinanet-rbox-le90_r50_fpn_1x_dior-caf9143c.pth", "mmrotate-1.x"),
    ],
)
def test_source_of_published_weights_is_detected_by_file_name(name, source):
    origin = find_origin(retina(), name)
    assert (origin.source, origin.angle_version) == (source, "oc" if "_oc" in name else "le90")


def test_angle_version_from_argument_config_and_name():
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
def test_classes_are_read_from_meta(meta):
    assert find_origin({"meta": {**meta, "mmcv_version": "1.4"}, "state_dict": retina()}, "a.pth").classes == ("a", "b")


@pytest.mark.parametrize("wrong", [None, 3, [], "text"])
def test_malformed_meta_is_ignored(wrong):
    for key in ("dataset_meta", "cfg", "CLASSES"):
        content = {"meta": {key: wrong, "mmcv_version": "1.4"}, "state_dict": retina()}
        assert find_origin(content, "a.pth").source in SOURCES
    assert find_origin({"meta": wrong, "state_dict": atss(4)}, "a.pth").source == "mmdet-3.x"


def test_unsupported_and_ambiguous_checkpoints_raise():
    message = "a.pth: cannot determine whether the weights are from mmrotate 0.x or 1.x"
    assert error_of(retina(), "a.pth").startswith(message)
    assert "--from mmrotate-0.x" in error_of(retina(), "a.pth")
    other = {"state_dict": {"fc.weight": torch.zeros(3)}}
    for options in ({}, {"source": "mmdet-2.x"}):
        assert error_of(other, "a.pth", **options) == (
            "a.pth: not a supported detector (expected a parameter retina_reg.weight, atss_reg.weight or "
            "rpn.head.bbox_pred.weight, got fc.weight, ...)"
        )
    assert error_of({"meta": {}, "optimizer": {}}, "a.pth") == "a.pth: contains no weights (its keys: meta, optimizer)"
    assert error_of({"state_dict": [1]}, "a.pth") == "a.pth: contains no weights (its keys: state_dict)"
    assert error_of({}, "a.pth") == "a.pth: contains no weights (its keys: -)"


def test_checkpoints_of_this_package_raise():
    for meta in (
        {"mmengine_version": "0.10", "cfg": "custom_imports = dict(imports=['rotated_atss.detection'])"},
        {"converted_from": "mmrotate-0.x"},
    ):
        message = error_of({"meta": meta, "state_dict": retina()}, "a.pth")
        assert message == "a.pth: already a checkpoint of rotated-atss (use it without conversion)"
