"""Properties of boxes, rotated IoU, NMS and coders, for any box."""

import math

import torch
from hypothesis import example, given
from hypothesis import strategies as st

from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.boxes import ANGLE_VERSIONS, normalize_obb, obb_to_hbb, obb_to_poly, poly_to_obb
from rotated_atss.ops.delta_coder import decode_deltas, encode_deltas
from rotated_atss.ops.distance_coder import decode_distances, encode_distances
from rotated_atss.ops.polygon_iou import polygon_areas

CENTERS, SIDES = st.floats(-500, 500), st.floats(1, 300)
ANGLES = st.one_of(st.floats(-7, 7), st.sampled_from([k * math.pi / 4 for k in range(-4, 5)]))
BOXES = st.tuples(CENTERS, CENTERS, SIDES, SIDES, ANGLES)
VERSIONS = st.sampled_from(ANGLE_VERSIONS)


def boxes_of(rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)


def iou(first, second):
    return float(rotated_iou(boxes_of([first]), boxes_of([second]), aligned=True)[0])


def moved(box, x, y, angle):
    """Rotate a box about the origin and translate it."""
    cos, sin = math.cos(angle), math.sin(angle)
    return (cos * box[0] - sin * box[1] + x, sin * box[0] + cos * box[1] + y, box[2], box[3], box[4] + angle)


@given(BOXES, VERSIONS)
def test_angle_versions_keep_the_rectangle(box, version):
    (normal,) = normalize_obb(boxes_of([box]), version)
    assert iou(box, normal.tolist()) > 1 - 1e-9
    assert torch.equal(normalize_obb(normal, version), normal)
    low, high = {"oc": (0, math.pi / 2), "le90": (-math.pi / 2, math.pi / 2), "le135": (-math.pi / 4, 0.75 * math.pi)}[
        version
    ]
    assert low <= normal[4] <= high
    assert version == "oc" or normal[2] >= normal[3]


@given(BOXES, VERSIONS)
@example((0.0, 0.0, 2.0, 1.0, 5e-324), "le90")
def test_boxes_and_polygons_are_converted_into_each_other(box, version):
    (normal,) = normalize_obb(boxes_of([box]), version)
    back = poly_to_obb(obb_to_poly(normal[None]), version)[0]
    assert iou(normal.tolist(), back.tolist()) > 1 - 1e-7
    assert abs(back[2] * back[3] - normal[2] * normal[3]) <= 1e-7 * normal[2] * normal[3]


@given(BOXES, st.integers(0, 3), st.booleans())
def test_polygons_give_the_same_box_from_every_corner(box, start, is_reversed):
    corners = obb_to_poly(boxes_of([box])).reshape(4, 2)
    other = torch.roll(corners.flip(0) if is_reversed else corners, start, 0)
    first, second = poly_to_obb(corners.reshape(1, 8)), poly_to_obb(other.reshape(1, 8))
    assert iou(first[0].tolist(), second[0].tolist()) > 1 - 1e-7


@given(BOXES)
def test_areas_of_polygons_and_surrounding_boxes(box):
    (x1, y1, x2, y2) = obb_to_hbb(boxes_of([box]))[0].tolist()
    corners = obb_to_poly(boxes_of([box])).reshape(4, 2)
    assert abs(polygon_areas(corners.reshape(1, 8).numpy())[0] - box[2] * box[3]) <= 1e-8 * box[2] * box[3] + 1e-7
    assert torch.allclose(corners.amin(0), corners.new_tensor([x1, y1]), atol=1e-9)
    assert torch.allclose(corners.amax(0), corners.new_tensor([x2, y2]), atol=1e-9)


@given(BOXES, BOXES)
def test_iou_is_symmetric_and_bounded(first, second):
    value = iou(first, second)
    assert 0 <= value <= 1
    assert abs(value - iou(second, first)) < 1e-10
    areas = sorted((first[2] * first[3], second[2] * second[3]))
    assert value <= areas[0] / areas[1] + 1e-10


@given(BOXES, st.floats(-20, 20), st.floats(-20, 20), st.floats(0.5, 2), st.floats(-0.5, 0.5), CENTERS, CENTERS, ANGLES)
def test_iou_does_not_depend_on_the_place_and_rotation(box, dx, dy, scale, turn, x, y, angle):
    other = (box[0] + dx, box[1] + dy, box[2] * scale, box[3] / scale, box[4] + turn)
    assert abs(iou(box, other) - iou(moved(box, x, y, angle), moved(other, x, y, angle))) < 1e-8


@given(BOXES, VERSIONS, VERSIONS)
def test_iou_does_not_depend_on_the_angle_version(box, first, second):
    other = (box[0] + 3, box[1] - 2, box[2], box[3], box[4] + 0.3)
    in_versions = (
        normalize_obb(boxes_of([box]), first)[0].tolist(),
        normalize_obb(boxes_of([other]), second)[0].tolist(),
    )
    assert abs(iou(box, other) - iou(*in_versions)) < 1e-9


@given(st.lists(BOXES, max_size=12), st.floats(0, 1), st.randoms(use_true_random=False))
def test_nms_of_kept_boxes_keeps_all(rows, threshold, random):
    boxes = boxes_of(rows)
    scores = torch.tensor([random.random() for _ in rows], dtype=torch.float64)
    labels = torch.tensor([random.randrange(2) for _ in rows], dtype=torch.long)
    keep = rotated_nms(boxes, scores, labels, threshold)
    assert scores[keep].tolist() == sorted(scores[keep].tolist(), reverse=True)
    again = rotated_nms(boxes[keep], scores[keep], labels[keep], threshold)
    assert again.tolist() == list(range(len(keep)))
    kept_labels = labels[keep]
    overlaps = rotated_iou(boxes[keep], boxes[keep]) * (kept_labels[:, None] == kept_labels)
    assert not (overlaps.triu(1) > threshold + 1e-9).any()


@given(BOXES, BOXES, VERSIONS, st.booleans(), st.booleans(), st.sampled_from([None, 2.0]))
def test_deltas_are_decoded_to_the_encoded_box(prior, box, version, edge_swap, proj_xy, norm_factor):
    options = dict(proj_xy=proj_xy, norm_factor=norm_factor)
    priors, boxes = normalize_obb(boxes_of([prior]), version), boxes_of([box])
    deltas = encode_deltas(priors, boxes, version, edge_swap=edge_swap, **options)
    decoded = decode_deltas(priors, deltas, version, max_log_ratio=20, **options)
    assert iou(decoded[0].tolist(), box) > 1 - 1e-8
    assert torch.allclose(decoded, normalize_obb(decoded, version))


@given(BOXES, BOXES, VERSIONS, st.booleans(), st.floats(1, 16))
def test_distances_are_decoded_to_the_encoded_box(prior, box, version, edge_swap, scale):
    priors, boxes = normalize_obb(boxes_of([prior]), version), boxes_of([box])
    distances = encode_distances(priors, boxes, version, edge_swap=edge_swap, anchor_scale=scale)
    decoded = decode_distances(priors, distances, version, anchor_scale=scale)
    assert iou(decoded[0].tolist(), box) > 1 - 1e-8
