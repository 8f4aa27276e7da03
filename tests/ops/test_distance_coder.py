"""Encoding and decoding of distances against the edges of the boxes."""

import math

import pytest
import torch

from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import hbb_to_obb, normalize_obb, obb_to_corners
from rotated_atss.ops.distance_coder import decode_distances, encode_distances

ANGLE_VERSIONS = [("oc", False), ("le90", False), ("le90", True), ("le135", False), ("le135", True)]


def random_boxes(count, seed=0):
    unit = torch.rand(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return unit * torch.tensor([100, 100, 90, 60, 6]) + torch.tensor([0, 0, 8, 4, -3])


def random_priors(count, seed=1, angle=0.0):
    priors = random_boxes(count, seed)
    priors[:, 2:4] = torch.tensor([32.0, 64]).repeat(count // 2)[:, None]
    priors[:, 4] = angle
    return priors


def distance_to_line(point, start, end):
    """Return the signed distance, positive to the right of start -> end on the image, so inside a clockwise polygon."""
    (x, y), (x1, y1), (x2, y2) = point, start, end
    return ((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)) / math.hypot(x2 - x1, y2 - y1)


@pytest.mark.parametrize("angle_version, edge_swap", ANGLE_VERSIONS)
@pytest.mark.parametrize("angle", [0.0, -math.pi / 2])
def test_distances_equal_those_to_the_edges(angle_version, edge_swap, angle):
    boxes, prior = random_boxes(200), random_priors(200, angle=angle)
    encoded = encode_distances(prior, boxes, angle_version, edge_swap=edge_swap, anchor_scale=4)
    for p, box, (left, top, right, bottom, _) in zip(prior.tolist(), boxes, encoded.tolist()):
        corners = obb_to_corners(box).tolist()
        edges = [distance_to_line(p[:2], corners[i], corners[(i + 1) % 4]) for i in range(4)]
        unit = p[2] / 4
        assert sorted(x * unit for x in (left, top, right, bottom)) == pytest.approx(sorted(edges), abs=1e-9)
        # in order around the box, from any first edge
        around = [x * unit for x in (left, top, right, bottom)]
        assert any(around == pytest.approx(edges[i:] + edges[:i], abs=1e-9) for i in range(4))


@pytest.mark.parametrize("angle_version, edge_swap", ANGLE_VERSIONS)
@pytest.mark.parametrize("angle", [0.0, -math.pi / 2, 0.7])
@pytest.mark.parametrize("anchor_scale", [4, 8])
def test_decoding_inverts_encoding(angle_version, edge_swap, angle, anchor_scale):
    boxes, prior = random_boxes(500), random_priors(500, angle=angle)
    encoded = encode_distances(prior, boxes, angle_version, edge_swap=edge_swap, anchor_scale=anchor_scale)
    decoded = decode_distances(prior, encoded, angle_version, anchor_scale=anchor_scale)
    assert torch.allclose(rotated_iou(decoded, boxes, aligned=True), torch.ones(500, dtype=torch.float64), atol=1e-9)
    assert torch.equal(decoded, normalize_obb(decoded, angle_version))
    if edge_swap:
        assert encoded[:, 4].abs().max() <= math.pi / 4 + 1e-9


def test_horizontal_boxes():
    prior = torch.tensor([[-16.0, -16, 16, 16], [0, 0, 64, 64]])
    box = torch.tensor([[-4.0, -8, 12, 2], [40, 30, 60, 90]])
    encoded = encode_distances(prior, box)  # units of 4 and 8 px; the second prior's center is left of its box
    assert encoded.tolist() == [[1, 2, 3, 0.5], [-1, 0.25, 3.5, 7.25]]
    assert torch.equal(decode_distances(prior, encoded), box)


def test_horizontal_boxes_equal_oriented_boxes_of_angle_0():
    box = random_boxes(100)
    box[:, 2:4] = box[:, 2:4].sort(1, descending=True).values
    box[:, 4] = 0
    hbb = torch.cat((box[:, :2] - box[:, 2:4] / 2, box[:, :2] + box[:, 2:4] / 2), 1)
    prior = random_priors(100)
    flat = torch.cat((prior[:, :2] - prior[:, 2:4] / 2, prior[:, :2] + prior[:, 2:4] / 2), 1)
    oriented = encode_distances(prior, box, "le90")
    assert torch.allclose(encode_distances(flat, hbb), oriented[:, :4])
    assert (oriented[:, 4] == 0).all()
    assert torch.allclose(hbb_to_obb(decode_distances(flat, oriented[:, :4])), box)


@pytest.mark.parametrize("angle_version, columns", [(None, 4), ("le90", 5)])
def test_negative_sizes_and_half_precision(angle_version, columns):
    prior = torch.tensor([[0.0, 0, 32, 32, 0]])[:, :columns]
    crossed = torch.tensor([[-3.0, 1, 1, 1, 0]])[:, :columns].half()
    decoded = decode_distances(prior, crossed, angle_version)
    assert decoded.dtype == torch.float32
    assert decoded.isfinite().all()
    assert float(decoded[0, 2] - decoded[0, 0] if angle_version is None else decoded[0, 2:4].min()) == 0
    empty = decode_distances(prior[:0], crossed[:0], angle_version)
    assert empty.shape == (0, columns)
    assert encode_distances(prior[:0], empty, angle_version).shape == (0, columns)


def test_every_distance_has_a_gradient():
    prior, target = random_priors(20).float(), random_boxes(20, 3).float()
    encoded = encode_distances(prior, target, "le90", edge_swap=True).requires_grad_()
    decode_distances(prior, encoded, "le90").square().sum().backward()
    assert (encoded.grad.abs() > 0).all()
