"""Mapping and merging of augmentation passes against slow references."""

import math

import pytest
import torch

from rotated_atss.ops import box_fusion, rotated_iou, rotated_nms
from rotated_atss.ops.box_transforms import flip_obb, rot90_obb, scale_obb
from rotated_atss.ops.boxes import hbb_to_obb, normalize_obb, obb_to_corners, obb_to_hbb

FLIPS = (None, "horizontal", "vertical", "diagonal")


def random_boxes(count, seed=0, dtype=torch.float64):
    unit = torch.rand(count, 5, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return unit * unit.new_tensor([600, 400, 80, 40, 6]) + unit.new_tensor([0, 0, 4, 4, -3])


def crowd(seed, oriented=True, objects=12, passes=8):
    """Return jittered detections of several passes, in two classes, with tied scores; some passes miss an object."""
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(objects, seed).repeat(passes, 1)
    boxes += torch.randn(boxes.shape, generator=generator, dtype=torch.float64) * boxes.new_tensor([2, 2, 2, 2, 0.05])
    boxes[:, 4] += torch.randint(-2, 3, (len(boxes),), generator=generator) * math.pi
    scores = torch.randint(1, 60, (len(boxes),), generator=generator).double() / 64
    labels = torch.arange(objects).repeat(passes) % 2
    keep = torch.rand(len(boxes), generator=generator) < 0.8
    boxes = boxes if oriented else obb_to_hbb(boxes)
    return boxes[keep], scores[keep], labels[keep]


def same_rectangles(first, second, atol=1e-6):
    """Compare the corners row by row for every choice of the first corner."""
    a, b = obb_to_corners(first), obb_to_corners(second)
    return all(min(float((x.roll(k, 0) - y).abs().max()) for k in range(4)) < atol for x, y in zip(a, b))


@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.75, 0.75), (1.25, 1.2)])
def test_mapping_back_inverts_the_augmentation(flip, turns, scale):
    boxes, image_wh = random_boxes(20), (700.0, 450.0)
    augmented = rot90_obb(boxes, image_wh, turns)
    width, height = image_wh if turns % 2 == 0 else image_wh[::-1]
    hbb = obb_to_hbb(augmented) * boxes.new_tensor(scale * 2)
    if scale[0] == scale[1]:  # otherwise a rectangle becomes a parallelogram
        augmented = scale_obb(augmented, scale)
        augmented = augmented if flip is None else flip_obb(augmented, (width * scale[0], height * scale[1]), flip)
        back = box_fusion.map_back(augmented, image_wh, turns=turns, scale_xy=scale, flip=flip)
        assert same_rectangles(back, boxes)
    if flip is not None:
        hbb = obb_to_hbb(flip_obb(hbb_to_obb(hbb), (width * scale[0], height * scale[1]), flip))
    back = box_fusion.map_back(hbb, image_wh, turns=turns, scale_xy=scale, flip=flip)
    torch.testing.assert_close(back, obb_to_hbb(boxes), rtol=0, atol=1e-9)


def test_mapping_back_without_augmentation_is_bit_exact():
    for boxes in (random_boxes(9, dtype=torch.float32), obb_to_hbb(random_boxes(9, dtype=torch.float32))):
        assert torch.equal(box_fusion.map_back(boxes, (100, 100)), boxes)
        assert torch.equal(box_fusion.map_back(boxes, (100, 100), turns=4), boxes)


def test_wrong_shapes_and_directions_are_rejected():
    with pytest.raises(ValueError, match=r"boxes must have shape \(N, 5\) or \(N, 4\), got \(3, 6\)"):
        box_fusion.map_back(torch.zeros(3, 6), (10, 10), flip="horizontal")
    for width in (4, 5):
        with pytest.raises(ValueError, match="direction must be one of horizontal, vertical, diagonal, got 'left'"):
            box_fusion.map_back(torch.zeros(3, width), (10, 10), flip="left")


def test_size_range_is_in_pixels_of_the_pass():
    side = torch.tensor([63.0, 64, 65, 95, 96, 97])
    square = torch.stack([side * 0 + 500, side * 0 + 500, side * 2, side / 2, side * 0 + 0.3], 1)  # area side^2
    assert box_fusion.in_size_range(square, 64, 96).tolist() == [False, False, True, True, False, False]
    assert box_fusion.in_size_range(square, None, None).all()
    assert box_fusion.in_size_range(square, 64, None).tolist() == [False, False, True, True, True, True]
    halved = scale_obb(square, (0.5, 0.5))  # mapped back from a pass at scale 2
    assert box_fusion.in_size_range(halved, 64, 96, (2.0, 2.0)).tolist() == [False, False, True, True, False, False]
    hbb = torch.tensor([[10.0, 10, 74, 74], [10, 10, 75, 74], [10, 10, 10, 9]])
    assert box_fusion.in_size_range(hbb, 64, None).tolist() == [False, True, False]
    assert box_fusion.in_size_range(torch.zeros(0, 5), 1, 2).shape == (0,)


def slow_vote(boxes, scores, labels, threshold, soft_score):
    """Form one group after the other, box by box."""
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
    """Return the representation with the nearest angle, which is sufficient for boxes that overlap strongly."""
    if len(box) == 4:
        return box
    ways = [box + box.new_tensor([0, 0, 0, 0, k * math.pi]) for k in range(-4, 5)]
    swapped = box[[0, 1, 3, 2, 4]]
    ways += [swapped + box.new_tensor([0, 0, 0, 0, (k + 0.5) * math.pi]) for k in range(-4, 5)]
    return min(ways, key=lambda way: abs(float(way[4] - target[4])))


@pytest.mark.parametrize("soft_score", [None, 0.05])
@pytest.mark.parametrize("oriented", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_voting_equals_the_slow_reference(seed, oriented, soft_score):
    boxes, scores, labels = crowd(seed, oriented)
    merged = box_fusion.merge_by_voting(boxes, scores, labels, 0.66, soft_score)
    expected = slow_vote(boxes, scores, labels, 0.66, soft_score)
    assert len(merged[0]) == len(expected) < len(boxes)
    assert bool((merged[1].diff() <= 0).all())

    def key(row):  # the reference orders tied scores differently
        return round(row[0], 6), row[2], round(float(row[1][0]), 4), round(float(row[1][1]), 4)

    rows = sorted(zip(merged[1].tolist(), merged[0], merged[2].tolist()), key=key)
    for (score, box, label), (expected_score, expected_box, expected_label) in zip(rows, sorted(expected, key=key)):
        assert (score, label) == (pytest.approx(expected_score, abs=1e-9), expected_label)
        if oriented:
            assert same_rectangles(box[None], expected_box[None])
        else:
            assert torch.allclose(box, expected_box, atol=1e-9)


@pytest.mark.parametrize("angle_version", ["oc", "le90", "le135"])
@pytest.mark.parametrize("degrees", [0, 30, 45, 89.9, -89.9, 90, 134.9, -45, 180])
def test_voting_of_one_rectangle_in_all_representations_is_that_rectangle(angle_version, degrees):
    box = normalize_obb(torch.tensor([[300.0, 200, 90, 35, math.radians(degrees)]], dtype=torch.float64), angle_version)
    swapped = box[:, [0, 1, 3, 2, 4]] + box.new_tensor([0, 0, 0, 0, math.pi / 2])
    half = box.new_tensor([0, 0, 0, 0, math.pi])
    ways = torch.cat([box, box + half, swapped, swapped - half])
    found, scores, _ = box_fusion.merge_by_voting(ways, torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.zeros(4), 0.5)
    assert same_rectangles(found, box, 1e-9)
    assert torch.equal(scores, torch.tensor([0.9]))


@pytest.mark.parametrize("sides", [(90.0, 35.0), (90.0, 90.0), (90.0, 89.0)])
def test_voting_across_the_end_of_the_angle_range(sides):
    """89.9 and -89.9 degrees differ by 0.2 degrees, not by 180; for squares angles are modulo 90 degrees."""
    angles = [math.radians(each) for each in (89.9, -89.9)]
    boxes = torch.tensor([[300.0, 200, *sides, angle] for angle in angles], dtype=torch.float64)
    found, _, _ = box_fusion.merge_by_voting(boxes, torch.tensor([0.5, 0.5]), torch.zeros(2), 0.5)
    assert same_rectangles(found, boxes.new_tensor([[300, 200, *sides, math.pi / 2]]), 1e-6)
    swapped = torch.stack([boxes[0], boxes[1][[0, 1, 3, 2, 4]] + boxes.new_tensor([0, 0, 0, 0, math.pi / 2])])
    again, _, _ = box_fusion.merge_by_voting(swapped, torch.tensor([0.5, 0.5]), torch.zeros(2), 0.5)
    assert same_rectangles(again, found, 1e-6)


def test_weights_and_soft_scores_of_a_small_example():
    boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 80], [0, 0, 100, 90], [0, 0, 100, 80]])
    scores, labels = torch.tensor([0.6, 0.3, 0.1, 0.9]), torch.tensor([0, 0, 0, 1])
    merged, merged_scores, merged_labels = box_fusion.merge_by_voting(boxes, scores, labels, 0.66, 0.05)
    assert merged_labels.tolist() == [1, 0, 0]
    torch.testing.assert_close(merged_scores, torch.tensor([0.9, 0.6, 0.3 * 0.2]))  # 0.1 * 0.1 is below soft_score
    torch.testing.assert_close(merged[:2], torch.tensor([[0.0, 0, 100, 80], [0, 0, 100, 93]]))
    assert torch.equal(merged[2], boxes[1])


def test_iou_equal_to_the_threshold_joins_the_group():
    boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 50]])  # IoU exactly 0.5
    scores, labels = torch.tensor([0.6, 0.3]), torch.zeros(2)
    assert len(box_fusion.merge_by_voting(boxes, scores, labels, 0.5)[0]) == 1
    assert len(box_fusion.merge_by_voting(boxes, scores, labels, 0.5001)[0]) == 2
    assert len(box_fusion.merge_by_nms(boxes, scores, labels, 0.4)[0]) == 1


@pytest.mark.parametrize("width", [4, 5])
def test_separate_boxes_and_empty_input(width):
    boxes = random_boxes(30, dtype=torch.float32)
    boxes[:, :2] += torch.arange(30)[:, None] * 1000  # no two overlap
    boxes = boxes if width == 5 else obb_to_hbb(boxes)
    scores, labels = torch.arange(30, 0, -1) / 32, torch.arange(30) % 3
    for merged in (
        box_fusion.merge_by_voting(boxes, scores, labels, 0.66, 0.05),
        box_fusion.merge_by_nms(boxes, scores, labels, 0.1),
    ):
        assert all(torch.equal(result, expected) for result, expected in zip(merged, (boxes, scores, labels)))
    for merged in (
        box_fusion.merge_by_voting(boxes[:0], scores[:0], labels[:0], 0.66, 0.05),
        box_fusion.merge_by_nms(boxes[:0], scores[:0], labels[:0], 0.1),
    ):
        assert [tuple(part.shape) for part in merged] == [(0, width), (0,), (0,)]


def test_merging_by_nms_equals_nms_of_all_passes():
    boxes, scores, labels = crowd(3)
    keep = rotated_nms(boxes, scores, labels, 0.1)
    merged = box_fusion.merge_by_nms(boxes, scores, labels, 0.1)
    assert all(torch.equal(result, part[keep]) for result, part in zip(merged, (boxes, scores, labels)))


def test_scores_of_0_and_nan_give_a_finite_mean():
    boxes = torch.tensor([[50.0, 50, 40, 20, 0], [50, 50, 40, 20, math.pi], [50, 50, 40, 20, 0]])
    found, scores, _ = box_fusion.merge_by_voting(boxes, torch.tensor([0.0, 0.0, math.nan]), torch.zeros(3), 0.5)
    torch.testing.assert_close(found, boxes[:1])
    assert scores.tolist() == [0.0]
