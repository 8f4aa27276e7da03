"""Conversion of the official ATSS: every published model, and its outputs compared with a reference network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.references.official_checkpoint import BLOCKS, checkpoint, official_shapes
from tests.references.official_network import Network, detect

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

MEAN = (102.9801, 115.9465, 122.7717)
CLASSES = 5

FULL = {
    "atss_official_r50_fpn_1x_coco": ("r50", {}),
    "atss_official_dcnv2_r50_fpn_1x_coco": ("r50", dict(dcn=(False, True, True, True))),
    "atss_official_r101_fpn_2x_ms_coco": ("r101", {}),
    "atss_official_dcnv2_r101_fpn_2x_ms_coco": ("r101", dict(dcn=(False, True, True, True))),
    "atss_official_x101_32x8d_fpn_2x_ms_coco": ("r101", dict(cell=256, groups=32)),
    "atss_official_dcnv2_x101_32x8d_fpn_2x_ms_coco": (
        "r101",
        dict(cell=256, groups=32, dcn=(False, False, True, True)),
    ),
    "atss_official_x101_64x4d_fpn_2x_ms_coco": ("r101", dict(cell=256, groups=64)),
    "atss_official_dcnv2_x101_64x4d_fpn_2x_ms_coco": (
        "r101",
        dict(cell=256, groups=64, dcn=(False, False, True, True)),
    ),
}


@pytest.mark.parametrize("config", FULL)
def test_every_published_model_is_detected_and_fits_its_config(config):
    from rotated_atss.checkpoints.convert import convert_checkpoint
    from rotated_atss.checkpoints.keys import rename_keys
    from rotated_atss.checkpoints.match import config_pattern, matching_configs
    from rotated_atss.checkpoints.origin import find_origin
    from rotated_atss.configs import config_names
    from rotated_atss.detection.engine.conversion_target import describe_target

    depth, changes = FULL[config]
    shapes = official_shapes(BLOCKS[depth], **changes)
    origin = find_origin(checkpoint(shapes, "meta"), "ATSS.pth")
    assert (origin.source, origin.angle_version) == ("atss-official", None)
    pattern = config_pattern(rename_keys(origin.state, origin.source)[0], origin.source, None)
    assert matching_configs(pattern, config_names()) == [config]
    conversion = convert_checkpoint(origin, describe_target(config), "ATSS.pth")
    assert len(conversion.mapped) == len(shapes)
    assert len(conversion.dropped) == 5
    assert all(name.endswith("num_batches_tracked") for name in conversion.filled)


SMALL = {
    "r50": ("atss_official_r50_fpn_1x_coco", {}, {}),
    "dcnv2": ("atss_official_dcnv2_r50_fpn_1x_coco", dict(dcn=(False, True, True, True)), {}),
    "resnext": (
        "atss_official_r50_fpn_1x_coco", dict(cell=16, groups=4),
        {"model.backbone.type": "ResNeXt", "model.backbone.groups": 4, "model.backbone.base_width": 4,
         "model.backbone.style": "pytorch"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SMALL)
def test_outputs_and_boxes_equal_the_reference(kind, build_converted, convert):
    from mmdet.structures import DetDataSample

    config, shapes, changes = SMALL[kind]
    shapes = official_shapes(BLOCKS["r50"], stem=4, width=64, classes=CLASSES, **{"cell": 4, **shapes})
    content = checkpoint(shapes)
    changes = {**changes, "model.bbox_head.num_classes": CLASSES}
    model = build_converted(config, convert(content, config, changes=changes).state, changes)
    state = {name.removeprefix("module."): value for name, value in content["model"].items()}
    network = Network(state, 4 if kind == "resnext" else 1, stride_in_1x1=kind != "resnext")

    image = torch.randint(0, 255, (3, 90, 150), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    meta = dict(img_shape=(90, 150), ori_shape=(60, 100), scale_factor=(1.5, 1.5), img_id=1)
    data = model.data_preprocessor({"inputs": [image], "data_samples": [DetDataSample(metainfo=meta)]})
    padded = torch.zeros(1, 3, 96, 160)
    padded[0, :, :90, :150] = image - torch.tensor(MEAN)[:, None, None]
    with torch.no_grad():
        reference = network(padded, BLOCKS["r50"])
        outputs = list(zip(*model.bbox_head(model.extract_feat(data["inputs"]))))
        detections = model.predict(data["inputs"], data["data_samples"], rescale=True)[0].pred_instances
    assert torch.allclose(data["inputs"], padded)
    for expected_level, level in zip(reference, outputs):
        assert all(torch.allclose(a, b, atol=2e-4, rtol=2e-4) for a, b in zip(expected_level, level))
    expected = detect(outputs, (150, 90), (1.5, 1.5))
    assert len(detections.bboxes) == len(expected) == 100
    assert detections.labels.tolist() == [label for _, _, label in expected]
    assert np.allclose(detections.scores.numpy(), [score for _, score, _ in expected], atol=1e-5)
    assert np.allclose(detections.bboxes.numpy(), np.stack([box for box, _, _ in expected]), atol=2e-3)


def test_other_priors_raise(convert):
    from rotated_atss.errors import UserError

    content = checkpoint(official_shapes(BLOCKS["r50"], stem=4, cell=4, width=64, classes=80))
    content["model"]["module.rpn.anchor_generator.cell_anchors.1"] = torch.tensor([[-24.0, -24, 39, 39]])
    with pytest.raises(UserError, match=r"cell_anchors\.1 must be one square of 128 x 128 pixels, got \[\["):
        convert(content, "atss_official_r50_fpn_1x_coco")
