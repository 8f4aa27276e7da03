"""Renaming of parameters, entry by entry."""

from __future__ import annotations

import pytest
import torch

from rotated_atss.checkpoints.keys import rename_keys

OFFICIAL = {
    "backbone.body.stem.conv1.weight": "backbone.conv1.weight",
    "backbone.body.stem.bn1.running_var": "backbone.bn1.running_var",
    "backbone.body.layer1.0.downsample.0.weight": "backbone.layer1.0.downsample.0.weight",
    "backbone.body.layer1.0.downsample.1.bias": "backbone.layer1.0.downsample.1.bias",
    "backbone.body.layer3.22.conv2.weight": "backbone.layer3.22.conv2.weight",
    "backbone.body.layer4.2.conv2.offset.bias": "backbone.layer4.2.conv2.conv_offset.bias",
    "backbone.body.layer4.2.conv2.conv.weight": "backbone.layer4.2.conv2.weight",
    "backbone.fpn.fpn_inner2.weight": "neck.lateral_convs.0.conv.weight",
    "backbone.fpn.fpn_layer4.bias": "neck.fpn_convs.2.conv.bias",
    "backbone.fpn.top_blocks.p6.weight": "neck.fpn_convs.3.conv.weight",
    "backbone.fpn.top_blocks.p7.bias": "neck.fpn_convs.4.conv.bias",
    "rpn.head.cls_tower.0.weight": "bbox_head.cls_convs.0.conv.weight",
    "rpn.head.cls_tower.1.bias": "bbox_head.cls_convs.0.gn.bias",
    "rpn.head.bbox_tower.9.bias": "bbox_head.reg_convs.3.conv.bias",
    "rpn.head.bbox_tower.9.offset.weight": "bbox_head.reg_convs.3.conv.conv_offset.weight",
    "rpn.head.cls_tower.9.conv.bias": "bbox_head.cls_convs.3.conv.bias",
    "rpn.head.bbox_tower.10.weight": "bbox_head.reg_convs.3.gn.weight",
    "rpn.head.cls_logits.bias": "bbox_head.atss_cls.bias",
    "rpn.head.bbox_pred.weight": "bbox_head.atss_reg.weight",
    "rpn.head.centerness.weight": "bbox_head.atss_centerness.weight",
    "rpn.head.scales.4.scale": "bbox_head.scales.4.scale",
}
R3DET = {
    "backbone.conv1.weight": "backbone.conv1.weight",
    "bbox_head.retina_reg.bias": "bbox_head_init.retina_reg.bias",
    "feat_refine_module.0.conv_5_1.weight": "bbox_head_refine.0.feat_refine_module.conv_5_1.weight",
    "feat_refine_module.1.conv_1_1.bias": "bbox_head_refine.1.feat_refine_module.conv_1_1.bias",
    "refine_head.0.cls_convs.3.conv.weight": "bbox_head_refine.0.cls_convs.3.conv.weight",
    "refine_head.1.retina_cls.weight": "bbox_head_refine.1.retina_cls.weight",
}
SAME = {
    "neck.fpn_convs.4.conv.bias": "neck.fpn_convs.4.conv.bias",
    "bbox_head.retina_reg.bias": "bbox_head.retina_reg.bias",
    "bbox_head.scales.0.scale": "bbox_head.scales.0.scale",
    "backbone.layer2.0.conv2_offset.weight": "backbone.layer2.0.conv2.conv_offset.weight",
}


@pytest.mark.parametrize(
    "source, table",
    [("atss-official", OFFICIAL), ("mmrotate-0.x", R3DET), *((name, SAME) for name in (
        "mmrotate-0.x", "mmrotate-1.x", "mmdet-2.x", "mmdet-3.x"))],
)  # fmt: skip
def test_renamed_parameters(source, table):
    state = {name: torch.tensor(number) for number, name in enumerate(table)}
    renamed, dropped = rename_keys(state, source)
    assert dropped == []
    assert list(renamed) == list(table.values())
    assert all(torch.equal(renamed[new], state[old]) for old, new in table.items())


def test_entries_outside_a_model_are_dropped():
    dropped = [
        "ema_backbone_conv1_weight",
        "data_preprocessor.mean",
        "rpn.anchor_generator.cell_anchors.0",
    ]
    kept = "backbone.bn1.num_batches_tracked"
    assert rename_keys({name: torch.tensor(0) for name in [*dropped, kept]}, "mmdet-2.x") == (
        {kept: torch.tensor(0)},
        dropped,
    )
