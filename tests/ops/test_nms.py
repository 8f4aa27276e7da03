"""Greedy NMS against the slow obvious loop, with deliberate ties."""

import pytest
import torch

from rotated_atss.ops import nms, rotated_iou, rotated_nms


def slow_nms(boxes, scores, labels, threshold):
    overlap = rotated_iou(boxes, boxes)
    kept = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if all(labels[i] != labels[j] or overlap[j, i] <= threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def scene(seed, number):
    draw = torch.Generator().manual_seed(seed)
    unit = torch.rand(number, 5, generator=draw)
    boxes = unit * torch.tensor([200.0, 200, 60, 60, 6]) + torch.tensor([-100.0, -100, 1, 1, -3])
    scores = (torch.rand(number, generator=draw) * 10).round() / 10  # eleven values: many ties
    return boxes, scores, torch.randint(0, 4, (number,), generator=draw)


@pytest.mark.parametrize("greedy", ["_greedy_scan", "_greedy_rounds"])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 1.0])
def test_equals_the_slow_loop(threshold, greedy, monkeypatch):
    monkeypatch.setattr(nms, "_greedy_scan", getattr(nms, greedy))  # the form for GPUs runs on the CPU too
    for seed in range(25):
        boxes, scores, labels = scene(seed, 7 * seed)
        assert torch.equal(rotated_nms(boxes, scores, labels, threshold), slow_nms(boxes, scores, labels, threshold))


def test_small_chunks_change_nothing(monkeypatch):
    boxes, scores, labels = scene(1, 400)
    expected = rotated_nms(boxes, scores, labels, 0.1)
    for chunk in (1, 50, 1000):
        monkeypatch.setattr(nms, "_PAIRS_A_CHUNK", chunk)
        assert torch.equal(rotated_nms(boxes, scores, labels, 0.1), expected)


def test_ties_keep_the_first_and_every_run_agrees():
    boxes = torch.tensor([[0.0, 0, 10, 4, 0.3]]).repeat(5, 1)
    scores, labels = torch.full((5,), 0.5), torch.zeros(5, dtype=torch.int64)
    assert rotated_nms(boxes, scores, labels, 0.1).tolist() == [0]
    first = [rotated_nms(*scene(3, 300), 0.2) for _ in range(3)]
    assert torch.equal(first[0], first[1]) and torch.equal(first[0], first[2])


def test_classes_do_not_meet_however_large_or_negative_the_coordinates():
    """mmcv 1663, 1133: shifting coordinates by class loses precision and lets classes collide."""
    boxes = torch.tensor(
        [[-3e4, -3e4, 50.0, 20, 0.1], [-3e4, -3e4, 50, 20, 0.1], [3e4, 3e4, 50, 20, 0.1], [3e4, 3e4, 50, 20, 0.1]]
    )
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 1, 0, 1])
    assert rotated_nms(boxes, scores, labels, 0.1).tolist() == [0, 1, 2, 3]
    assert rotated_nms(boxes, scores, torch.zeros(4, dtype=torch.int64), 0.1).tolist() == [0, 2]


def test_the_threshold_itself_stays():
    boxes = torch.tensor([[0.0, 0, 4, 4, 0], [2.0, 0, 4, 4, 0]], dtype=torch.float64)  # IoU 8 / 24
    labels = torch.zeros(2, dtype=torch.int64)
    third = float(rotated_iou(boxes[:1], boxes[1:]))
    assert rotated_nms(boxes, torch.tensor([0.9, 0.8]), labels, third).tolist() == [0, 1]
    assert rotated_nms(boxes, torch.tensor([0.9, 0.8]), labels, third - 1e-9).tolist() == [0]


def test_empty_single_and_odd_scores():
    none = torch.zeros(0, 5), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    assert rotated_nms(*none, 0.1).tolist() == []
    assert rotated_nms(torch.ones(1, 5), torch.ones(1), torch.zeros(1, dtype=torch.int64), 0.1).tolist() == [0]
    boxes = torch.tensor([[0.0, 0, 4, 4, 0]]).repeat(2, 1)
    assert rotated_nms(boxes, torch.tensor([float("nan"), 0.1]), torch.zeros(2, dtype=torch.int64), 0.1).tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_compared_wider(dtype):
    boxes, scores, labels = (part.to(dtype) if part.is_floating_point() else part for part in scene(5, 120))
    assert torch.equal(rotated_nms(boxes, scores, labels, 0.1), rotated_nms(boxes.float(), scores.float(), labels, 0.1))


def test_long_chains_end():
    """Each box overlaps the next only: the worst case of deciding in rounds."""
    number = 2000
    boxes = torch.stack([torch.arange(number) * 6.0, *[torch.full((number,), v) for v in (0.0, 10.0, 10.0, 0.0)]], 1)
    scores = torch.linspace(1, 0, number)
    assert rotated_nms(boxes, scores, torch.zeros(number, dtype=torch.int64), 0.1).tolist() == list(range(0, number, 2))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"\(3, 5\), \(2,\), \(3,\)"):
        rotated_nms(torch.ones(3, 5), torch.ones(2), torch.zeros(3), 0.1)
    with pytest.raises(ValueError, match="1.5"):
        rotated_nms(torch.ones(3, 5), torch.ones(3), torch.zeros(3), 1.5)
