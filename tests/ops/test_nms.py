"""Rotated NMS against a slow loop, with tied scores."""

import pytest
import torch

from rotated_atss.ops import box_pairs, nms, rotated_iou, rotated_nms
from rotated_atss.ops.boxes import normalize_obb, obb_to_hbb, obb_to_poly
from rotated_atss.ops.greedy_suppression import decide_in_rounds


def slow_nms(boxes, scores, labels, threshold):
    overlap = rotated_iou(boxes, boxes)
    kept = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if all(labels[i] != labels[j] or overlap[j, i] <= threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def scene(seed, count):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, 5, generator=generator)
    boxes = unit * torch.tensor([200.0, 200, 60, 60, 6]) + torch.tensor([-100.0, -100, 1, 1, -3])
    scores = (torch.rand(count, generator=generator) * 10).round() / 10  # eleven values: many ties
    return boxes, scores, torch.randint(0, 4, (count,), generator=generator)


@pytest.mark.parametrize("rounds", ["numpy", "torch"])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 1.0])
def test_equals_the_slow_loop(threshold, rounds, monkeypatch):
    if rounds == "torch":  # the path of CUDA tensors

        def keep(count, *pairs):
            tensors = map(torch.from_numpy, pairs)
            kept, undecided, *_ = decide_in_rounds(torch.ones(count, dtype=torch.bool), *tensors, max_rounds=count)
            return (kept | undecided).numpy()

        monkeypatch.setattr(nms, "greedy_keep", keep)
    for seed in range(25):
        boxes, scores, labels = scene(seed, 7 * seed)
        assert torch.equal(rotated_nms(boxes, scores, labels, threshold), slow_nms(boxes, scores, labels, threshold))


def test_chunk_size_does_not_change_the_result(monkeypatch):
    boxes, scores, labels = scene(1, 400)
    expected = rotated_nms(boxes, scores, labels, 0.1)
    for chunk in (1, 50, 1000):
        monkeypatch.setattr(box_pairs, "_PAIRS_PER_CHUNK", {"cpu": chunk})
        assert torch.equal(rotated_nms(boxes, scores, labels, 0.1), expected)


def test_ties_keep_the_first_box_and_results_are_reproducible():
    boxes = torch.tensor([[0.0, 0, 10, 4, 0.3]]).repeat(5, 1)
    scores, labels = torch.full((5,), 0.5), torch.zeros(5, dtype=torch.int64)
    assert rotated_nms(boxes, scores, labels, 0.1).tolist() == [0]
    first = [rotated_nms(*scene(3, 300), 0.2) for _ in range(3)]
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], first[2])


def test_classes_never_suppress_each_other_at_large_or_negative_coordinates():
    """Mmcv issues 1663 and 1133: offsets per class lose precision and make classes collide."""
    boxes = torch.tensor(
        [[-3e4, -3e4, 50.0, 20, 0.1], [-3e4, -3e4, 50, 20, 0.1], [3e4, 3e4, 50, 20, 0.1], [3e4, 3e4, 50, 20, 0.1]]
    )
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 1, 0, 1])
    assert rotated_nms(boxes, scores, labels, 0.1).tolist() == [0, 1, 2, 3]
    assert rotated_nms(boxes, scores, torch.zeros(4, dtype=torch.int64), 0.1).tolist() == [0, 2]


def test_iou_equal_to_the_threshold_does_not_suppress():
    boxes = torch.tensor([[0.0, 0, 4, 4, 0], [2.0, 0, 4, 4, 0]], dtype=torch.float64)  # IoU 8 / 24
    labels = torch.zeros(2, dtype=torch.int64)
    third = float(rotated_iou(boxes[:1], boxes[1:]))
    assert rotated_nms(boxes, torch.tensor([0.9, 0.8]), labels, third).tolist() == [0, 1]
    assert rotated_nms(boxes, torch.tensor([0.9, 0.8]), labels, third - 1e-9).tolist() == [0]


def test_empty_input_single_box_and_nan_score():
    empty = torch.zeros(0, 5), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    assert rotated_nms(*empty, 0.1).tolist() == []
    assert rotated_nms(torch.ones(1, 5), torch.ones(1), torch.zeros(1, dtype=torch.int64), 0.1).tolist() == [0]
    boxes = torch.tensor([[0.0, 0, 4, 4, 0]]).repeat(2, 1)
    assert rotated_nms(boxes, torch.tensor([float("nan"), 0.1]), torch.zeros(2, dtype=torch.int64), 0.1).tolist() == [1]


def test_without_labels_all_boxes_are_of_one_class():
    boxes, scores, _ = scene(2, 200)
    expected = rotated_nms(boxes, scores, torch.zeros(200, dtype=torch.int64), 0.2)
    assert torch.equal(rotated_nms(boxes, scores, 0.2), expected)
    assert torch.equal(rotated_nms(boxes, scores, iou_threshold=0.2), expected)
    assert torch.equal(rotated_nms(boxes, scores, None, 0.2), expected)
    order, keep = nms.rotated_nms_mask(boxes, scores, None, 0.2)
    assert torch.equal(order[keep], expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("column", range(5))
def test_box_that_is_not_finite_is_kept_and_suppresses_nothing(column, value):
    boxes = torch.tensor([[20.0, 20, 10, 10, 0.1]]).repeat(3, 1)
    boxes[0, column] = value
    assert rotated_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.1).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    boxes, scores, labels = (part.to(dtype) if part.is_floating_point() else part for part in scene(5, 120))
    assert torch.equal(rotated_nms(boxes, scores, labels, 0.1), rotated_nms(boxes.float(), scores.float(), labels, 0.1))


def test_long_chains():
    """Each box overlaps only the next one: the worst case of decisions in rounds."""
    count = 2000
    boxes = torch.stack([torch.arange(count) * 6.0, *[torch.full((count,), v) for v in (0.0, 10.0, 10.0, 0.0)]], 1)
    scores = torch.linspace(1, 0, count)
    assert rotated_nms(boxes, scores, torch.zeros(count, dtype=torch.int64), 0.1).tolist() == list(range(0, count, 2))


def test_invalid_arguments():
    with pytest.raises(ValueError, match=r"boxes, scores and labels must have shapes .* got \(3, 5\), \(2,\), \(3,\)"):
        rotated_nms(torch.ones(3, 5), torch.ones(2), torch.zeros(3), 0.1)
    with pytest.raises(ValueError, match=r"iou_threshold must lie in \[0, 1\], got 1.5"):
        rotated_nms(torch.ones(3, 5), torch.ones(3), torch.zeros(3), 1.5)
    with pytest.raises(TypeError, match=r"labels must be a torch\.Tensor, got 0\. Pass one label per box"):
        rotated_nms(torch.ones(3, 5), torch.ones(3), 0, 0.1)
    with pytest.raises(TypeError, match="iou_threshold must be a number"):
        rotated_nms(torch.ones(3, 5), torch.ones(3), torch.zeros(3))
    with pytest.raises(ValueError, match="backend must be one of torch, triton, got 'mmcv'"):
        rotated_nms(torch.ones(3, 5), torch.ones(3), torch.zeros(3), 0.1, backend="mmcv")


def test_arguments_that_are_not_tensors_are_named_in_the_error():
    boxes, scores, labels = scene(0, 3)
    with pytest.raises(TypeError, match=r"scores must be a torch.Tensor, got list"):
        rotated_nms(boxes, scores.tolist(), labels, 0.1)
    with pytest.raises(TypeError, match=r"boxes2 must be a torch.Tensor, got ndarray. Convert it with torch.as_tensor"):
        rotated_iou(boxes, boxes.numpy())
    for convert in (obb_to_poly, obb_to_hbb, lambda array: normalize_obb(array, "le90")):
        with pytest.raises(TypeError, match=r"must be a torch\.Tensor, got ndarray\. Convert it"):
            convert(boxes.numpy())


def test_the_backend_applies_to_the_iou_of_the_pairs(monkeypatch):
    backends = []

    def spy(*args, backend=None, **kwargs):
        backends.append(backend)
        return rotated_iou(*args, backend=backend, **kwargs)

    monkeypatch.setattr("rotated_atss.ops.nms.rotated_iou", spy)
    boxes = torch.tensor([[50.0, 40, 30, 10, 0.3], [51, 40, 30, 10, 0.3]])
    rotated_nms(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.5, backend="torch")
    assert backends == ["torch"]
