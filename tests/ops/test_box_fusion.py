"""Passes mapped back and merged, against slow references."""

import math

import pytest
import torch

from rotated_atss.ops import box_fusion as ensemble
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.box_transforms import flip_obb, rot90_obb, scale_obb
from rotated_atss.ops.boxes import hbb_to_obb, normalize_obb, obb_to_corners, obb_to_hbb

FLIPS = (None, "horizontal", "vertical", "diagonal")


def random_boxes(count, seed=0, dtype=torch.float64):
    unit = torch.rand(count, 5, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return unit * unit.new_tensor([600, 400, 80, 40, 6]) + unit.new_tensor([0, 0, 4, 4, -3])


def crowd(seed, oriented=True, objects=12, passes=8):
    """Detections of several passes: each object seen by most, a little off, in two classes, with tied scores."""
    draw = torch.Generator().manual_seed(seed)
    boxes = random_boxes(objects, seed).repeat(passes, 1)
    boxes += torch.randn(boxes.shape, generator=draw, dtype=torch.float64) * boxes.new_tensor([2, 2, 2, 2, 0.05])
    boxes[:, 4] += torch.randint(-2, 3, (len(boxes),), generator=draw) * math.pi
    scores = torch.randint(1, 60, (len(boxes),), generator=draw).double() / 64
    labels = torch.arange(objects).repeat(passes) % 2
    keep = torch.rand(len(boxes), generator=draw) < 0.8
    boxes = boxes if oriented else obb_to_hbb(boxes)
    return boxes[keep], scores[keep], labels[keep]


def same_rectangles(first, second, atol=1e-6):
    """Each row's corner set equals the other's, whatever corner comes first."""
    a, b = obb_to_corners(first), obb_to_corners(second)
    return all(min(float((x.roll(k, 0) - y).abs().max()) for k in range(4)) < atol for x, y in zip(a, b))


@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.75, 0.75), (1.25, 1.2)])
def test_a_pass_there_and_back(flip, turns, scale):
    boxes, image_wh = random_boxes(20), (700.0, 450.0)
    seen = rot90_obb(boxes, image_wh, turns)
    width, height = image_wh if turns % 2 == 0 else image_wh[::-1]
    hbb = obb_to_hbb(seen) * boxes.new_tensor(scale * 2)
    if scale[0] == scale[1]:  # else a rectangle comes out a parallelogram
        seen = scale_obb(seen, scale)
        seen = seen if flip is None else flip_obb(seen, (width * scale[0], height * scale[1]), flip)
        back = ensemble.map_back(seen, image_wh, turns=turns, scale_xy=scale, flip=flip)
        assert same_rectangles(back, boxes)
    if flip is not None:
        hbb = obb_to_hbb(flip_obb(hbb_to_obb(hbb), (width * scale[0], height * scale[1]), flip))
    back = ensemble.map_back(hbb, image_wh, turns=turns, scale_xy=scale, flip=flip)
    torch.testing.assert_close(back, obb_to_hbb(boxes), rtol=0, atol=1e-9)


def test_a_pass_that_changes_nothing_returns_the_same_bits():
    for boxes in (random_boxes(9, dtype=torch.float32), obb_to_hbb(random_boxes(9, dtype=torch.float32))):
        assert torch.equal(ensemble.map_back(boxes, (100, 100)), boxes)
        assert torch.equal(ensemble.map_back(boxes, (100, 100), turns=4), boxes)


def test_what_is_no_box_or_no_direction_is_refused():
    with pytest.raises(ValueError, match=r"boxes must have shape \(N, 5\) or \(N, 4\), got \(3, 6\)"):
        ensemble.map_back(torch.zeros(3, 6), (10, 10), flip="horizontal")
    for width in (4, 5):
        with pytest.raises(ValueError, match="direction must be one of horizontal, vertical, diagonal, got 'left'"):
            ensemble.map_back(torch.zeros(3, width), (10, 10), flip="left")


def test_size_range_counts_pixels_of_the_pass():
    side = torch.tensor([63.0, 64, 65, 95, 96, 97])
    square = torch.stack([side * 0 + 500, side * 0 + 500, side * 2, side / 2, side * 0 + 0.3], 1)  # area side^2
    assert ensemble.in_size_range(square, 64, 96).tolist() == [False, False, True, True, False, False]
    assert ensemble.in_size_range(square, None, None).all()
    assert ensemble.in_size_range(square, 64, None).tolist() == [False, False, True, True, True, True]
    halved = scale_obb(square, (0.5, 0.5))  # mapped back from a pass at twice the size
    assert ensemble.in_size_range(halved, 64, 96, (2.0, 2.0)).tolist() == [False, False, True, True, False, False]
    hbb = torch.tensor([[10.0, 10, 74, 74], [10, 10, 75, 74], [10, 10, 10, 9]])
    assert ensemble.in_size_range(hbb, 64, None).tolist() == [False, True, False]
    assert ensemble.in_size_range(torch.zeros(0, 5), 1, 2).shape == (0,)


def slow_vote(boxes, scores, labels, threshold, soft_score):
    """One group after the other, one box after the other."""
    rest = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    found = []
    while rest:
        best, members, others = rest[0], [], []
        for i in rest:
            iou = float(pair_iou(boxes[best], boxes[i])) if labels[i] == labels[best] else 0.0
            (members if i == best or iou >= threshold else others).append((i, iou))
        rest = [i for i, _ in others]
        mean, total = 0, 0
        for i, iou in members:
            weight = float(scores[i])
            mean, total = mean + weight * nearest(boxes[i], boxes[best]), total + weight
            if i != best and soft_score is not None and weight * (1 - iou) >= soft_score:
                found.append((weight * (1 - iou), boxes[i], int(labels[i])))
        found.append((float(scores[best]), mean / total, int(labels[best])))
    return found


def pair_iou(first, second):
    if len(first) == 5:
        return rotated_iou(first[None], second[None])[0, 0]
    wh = (torch.minimum(first[2:], second[2:]) - torch.maximum(first[:2], second[:2])).clamp(min=0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return wh.prod() / (sum(areas) - wh.prod())


def nearest(box, target):
    """Of all ways to write the rectangle, the one with the nearest angle: enough where boxes overlap much."""
    if len(box) == 4:
        return box
    ways = [box + box.new_tensor([0, 0, 0, 0, k * math.pi]) for k in range(-4, 5)]
    turned = box[[0, 1, 3, 2, 4]]
    ways += [turned + box.new_tensor([0, 0, 0, 0, (k + 0.5) * math.pi]) for k in range(-4, 5)]
    return min(ways, key=lambda way: abs(float(way[4] - target[4])))


@pytest.mark.parametrize("soft_score", [None, 0.05])
@pytest.mark.parametrize("oriented", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_voting_is_the_slow_one(seed, oriented, soft_score):
    boxes, scores, labels = crowd(seed, oriented)
    got = ensemble.merge_by_voting(boxes, scores, labels, 0.66, soft_score)
    expected = slow_vote(boxes, scores, labels, 0.66, soft_score)
    assert len(got[0]) == len(expected) < len(boxes)
    assert bool((got[1].diff() <= 0).all())

    def key(row):  # tied scores come in another order in the reference
        return round(row[0], 6), row[2], round(float(row[1][0]), 4), round(float(row[1][1]), 4)

    rows = sorted(zip(got[1].tolist(), got[0], got[2].tolist()), key=key)
    for (score, box, label), (its_score, its_box, its_label) in zip(rows, sorted(expected, key=key)):
        assert (score, label) == (pytest.approx(its_score, abs=1e-9), its_label)
        assert same_rectangles(box[None], its_box[None]) if oriented else torch.allclose(box, its_box, atol=1e-9)


@pytest.mark.parametrize("angle_version", ["oc", "le90", "le135"])
@pytest.mark.parametrize("degrees", [0, 30, 45, 89.9, -89.9, 90, 134.9, -45, 180])
def test_voting_of_one_rectangle_in_every_coding_is_that_rectangle(angle_version, degrees):
    box = normalize_obb(torch.tensor([[300.0, 200, 90, 35, math.radians(degrees)]], dtype=torch.float64), angle_version)
    turned = box[:, [0, 1, 3, 2, 4]] + box.new_tensor([0, 0, 0, 0, math.pi / 2])
    half = box.new_tensor([0, 0, 0, 0, math.pi])
    ways = torch.cat([box, box + half, turned, turned - half])
    found, scores, _ = ensemble.merge_by_voting(ways, torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.zeros(4), 0.5)
    assert same_rectangles(found, box, 1e-9)
    assert torch.equal(scores, torch.tensor([0.9]))


@pytest.mark.parametrize("sides", [(90.0, 35.0), (90.0, 90.0), (90.0, 89.0)])
def test_voting_across_the_border_of_a_coding(sides):
    """89.9 and -89.9 degrees are a fifth of a degree apart, not 180, and squares know only a quarter turn."""
    angles = [math.radians(each) for each in (89.9, -89.9)]
    boxes = torch.tensor([[300.0, 200, *sides, angle] for angle in angles], dtype=torch.float64)
    found, _, _ = ensemble.merge_by_voting(boxes, torch.tensor([0.5, 0.5]), torch.zeros(2), 0.5)
    assert same_rectangles(found, boxes.new_tensor([[300, 200, *sides, math.pi / 2]]), 1e-6)
    swapped = torch.stack([boxes[0], boxes[1][[0, 1, 3, 2, 4]] + boxes.new_tensor([0, 0, 0, 0, math.pi / 2])])
    again, _, _ = ensemble.merge_by_voting(swapped, torch.tensor([0.5, 0.5]), torch.zeros(2), 0.5)
    assert same_rectangles(again, found, 1e-6)


def test_weights_and_soft_scores_by_hand():
    boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 80], [0, 0, 100, 90], [0, 0, 100, 80]])
    scores, labels = torch.tensor([0.6, 0.3, 0.1, 0.9]), torch.tensor([0, 0, 0, 1])
    found, its_scores, its_labels = ensemble.merge_by_voting(boxes, scores, labels, 0.66, 0.05)
    assert its_labels.tolist() == [1, 0, 0]
    torch.testing.assert_close(its_scores, torch.tensor([0.9, 0.6, 0.3 * 0.2]))  # 0.1 * 0.1 is too low to stay
    torch.testing.assert_close(found[:2], torch.tensor([[0.0, 0, 100, 80], [0, 0, 100, 93]]))
    assert torch.equal(found[2], boxes[1])


def test_the_threshold_itself_joins():
    boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 50]])  # IoU exactly a half
    scores, labels = torch.tensor([0.6, 0.3]), torch.zeros(2)
    assert len(ensemble.merge_by_voting(boxes, scores, labels, 0.5)[0]) == 1
    assert len(ensemble.merge_by_voting(boxes, scores, labels, 0.5001)[0]) == 2
    assert len(ensemble.merge_by_nms(boxes, scores, labels, 0.4)[0]) == 1


@pytest.mark.parametrize("width", [4, 5])
def test_alone_and_empty(width):
    boxes = random_boxes(30, dtype=torch.float32)
    boxes[:, :2] += torch.arange(30)[:, None] * 1000  # none meets another
    boxes = boxes if width == 5 else obb_to_hbb(boxes)
    scores, labels = torch.arange(30, 0, -1) / 32, torch.arange(30) % 3
    for found in (
        ensemble.merge_by_voting(boxes, scores, labels, 0.66, 0.05),
        ensemble.merge_by_nms(boxes, scores, labels, 0.1),
    ):
        assert all(torch.equal(got, given) for got, given in zip(found, (boxes, scores, labels)))
    for found in (
        ensemble.merge_by_voting(boxes[:0], scores[:0], labels[:0], 0.66, 0.05),
        ensemble.merge_by_nms(boxes[:0], scores[:0], labels[:0], 0.1),
    ):
        assert [tuple(part.shape) for part in found] == [(0, width), (0,), (0,)]


def test_nms_of_passes_is_the_nms_of_all():
    boxes, scores, labels = crowd(3)
    keep = rotated_nms(boxes, scores, labels, 0.1)
    found = ensemble.merge_by_nms(boxes, scores, labels, 0.1)
    assert all(torch.equal(got, part[keep]) for got, part in zip(found, (boxes, scores, labels)))


def test_scores_of_zero_and_nan_do_not_break_the_mean():
    boxes = torch.tensor([[50.0, 50, 40, 20, 0], [50, 50, 40, 20, math.pi], [50, 50, 40, 20, 0]])
    found, scores, _ = ensemble.merge_by_voting(boxes, torch.tensor([0.0, 0.0, math.nan]), torch.zeros(3), 0.5)
    torch.testing.assert_close(found, boxes[:1])
    assert scores.tolist() == [0.0]
