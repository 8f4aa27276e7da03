"""Box coders compared with the functions of :mod:`rotated_atss.ops` and inverted."""

import pytest
import torch
from mmdet.registry import TASK_UTILS

from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.task_modules.box_coders import OrientedDeltaCoder, PointDistanceCoder
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import obb_to_hbb
from rotated_atss.ops.delta_coder import decode_deltas, encode_deltas
from tests.references.task_modules import generate_priors, long_boxes

MEANS, STDS = (0.1, -0.2, 0.0, 0.3, 0.05), (0.1, 0.1, 0.2, 0.2, 0.5)


def test_delta_coder_normalizes_by_means_and_stds():
    priors, _ = generate_priors()
    priors, boxes = priors[:40], long_boxes(40)
    coder = OrientedDeltaCoder("le90", edge_swap=True, proj_xy=True, target_means=MEANS, target_stds=STDS)
    raw_deltas = encode_deltas(priors, boxes, "le90", edge_swap=True, proj_xy=True)
    deltas = coder.encode(priors, boxes)
    assert torch.allclose(deltas, (raw_deltas - torch.tensor(MEANS)) / torch.tensor(STDS))
    assert torch.allclose(
        coder.decode(priors, deltas), decode_deltas(priors, raw_deltas, "le90", proj_xy=True), atol=1e-4
    )


def test_delta_coder_accepts_box_types_and_decodes_halves_in_float32():
    priors, boxes = generate_priors()[0][:8], long_boxes(8)
    coder = OrientedDeltaCoder("oc")
    wrapped = coder.encode(OrientedBoxes(priors), OrientedBoxes(boxes))
    assert torch.equal(wrapped, coder.encode(priors, boxes))
    halves = wrapped.bfloat16()
    decoded = coder.decode(priors, halves)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, coder.decode(priors, halves.float()))


def test_delta_coder_without_boxes():
    coder = OrientedDeltaCoder("le135", norm_factor=1)
    assert coder.encode(torch.zeros(0, 5), torch.zeros(0, 5)).shape == (0, 5)
    assert coder.decode(torch.zeros(0, 5), torch.zeros(0, 5)).shape == (0, 5)


@pytest.mark.parametrize("angle_version", [None, "le90"])
def test_distance_coder_decodes_zero_to_its_mean_and_inverts(angle_version):
    coder = TASK_UTILS.build(
        dict(type="PointDistanceCoder", angle_version=angle_version, edge_swap=angle_version == "le90", anchor_scale=4)
    )
    priors, boxes = generate_priors()[0][:12], long_boxes()
    if angle_version is None:
        priors, boxes = obb_to_hbb(priors), obb_to_hbb(boxes)
    assert coder.encode_size == priors.shape[1]
    decoded_zero = coder.decode(priors, torch.zeros_like(priors))  # 4 strides to every side, twice the prior's size
    doubled = torch.tensor([1.0, 1, 2, 2, 1]) * priors if angle_version else priors + torch.tensor([-16.0, -16, 16, 16])
    assert torch.allclose(decoded_zero, doubled)
    decoded = coder.decode(priors, coder.encode(priors, boxes))
    if angle_version:
        assert torch.allclose(rotated_iou(decoded, boxes, aligned=True), torch.ones(12), atol=1e-4)
    else:
        assert torch.allclose(decoded, boxes, atol=1e-3)
        clipped = coder.decode(priors, coder.encode(priors, boxes), max_shape=(40, 60))
        assert torch.allclose(clipped, torch.minimum(boxes.clamp(min=0), torch.tensor([60.0, 40, 60, 40])), atol=1e-3)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(angle_version="le45"), "le45"),
        (dict(anchor_scale=0), "anchor_scale must be positive, got 0"),
        (dict(edge_swap=True), "edge_swap needs a long-edge angle version, got None"),
    ],
)
def test_distance_coder_rejects_invalid_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        PointDistanceCoder(**settings)
