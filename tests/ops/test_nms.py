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
        monkeypatch.setattr(nms, "_PAIRS_PER_CHUNK", {"cpu": chunk})
        assert torch.equal(rotated_nms(boxes, scores, labels, 0.1), expected)


def all_meeting_pairs(hbbs, labels):
    """By looking at all of them; boxes with numbers that are not finite meet none."""
    finite = hbbs.isfinite().all(1)
    low, high = hbbs[:, :2], hbbs[:, 2:]
    meet = (low[:, None] <= high).all(2) & (low <= high[:, None]).all(2) & (labels[:, None] == labels)
    meet &= finite[:, None] & finite
    return set(map(tuple, torch.nonzero(meet.triu(1)).tolist()))


UNUSUAL = {
    "ordinary": lambda hbbs: hbbs,
    "flat": lambda hbbs: hbbs * torch.tensor([1.0, 0, 1, 0]),
    "one as high as all": lambda hbbs: torch.cat((hbbs, torch.tensor([[-1.0, -1e3, 2, 1e3]]))),
    "one far away": lambda hbbs: torch.cat((hbbs, torch.tensor([[1e9, 1e9, 1e9, 1e9]]))),
    "beyond precision": lambda hbbs: torch.cat((hbbs, torch.tensor([[-1e30, -1e30, 1e30, -1e29]]))),
    "not finite": lambda hbbs: torch.cat((torch.tensor([[float("nan")] * 4, [0.0, 0, float("inf"), 9]]), hbbs)),
    "on whole numbers": lambda hbbs: hbbs.round(),
}


@pytest.mark.parametrize("boxes_a_strip", [1, 5, 128])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_strips_find_every_meeting_pair_once(kind, boxes_a_strip, monkeypatch):
    monkeypatch.setattr(nms, "_BOXES_PER_STRIP", boxes_a_strip)
    for seed in range(12):
        draw = torch.Generator().manual_seed(seed)
        low, sides = torch.rand(2, 20 * seed, 2, generator=draw) * torch.tensor([100.0, 15])[:, None, None]
        hbbs = UNUSUAL[kind](torch.cat((low, low + sides), 1))
        labels = torch.randint(-1, 3, (len(hbbs),), generator=draw)
        chunks = nms._overlapping_hbbs(hbbs, labels)
        found = [tuple(sorted(pair)) for i, j in chunks for pair in zip(i.tolist(), j.tolist())]
        meeting = all_meeting_pairs(hbbs, labels)
        assert len(found) == len(set(found))
        assert meeting <= set(found)
        assert meeting == set(found) or kind == "beyond precision"  # there, some that do not meet are looked at


def test_ties_keep_the_first_and_every_run_agrees():
    boxes = torch.tensor([[0.0, 0, 10, 4, 0.3]]).repeat(5, 1)
    scores, labels = torch.full((5,), 0.5), torch.zeros(5, dtype=torch.int64)
    assert rotated_nms(boxes, scores, labels, 0.1).tolist() == [0]
    first = [rotated_nms(*scene(3, 300), 0.2) for _ in range(3)]
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], first[2])


def test_classes_do_not_meet_however_large_or_negative_the_coordinates():
    """Mmcv 1663, 1133: shifting coordinates by class loses precision and lets classes collide."""
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


def test_what_is_no_tensor_is_named():
    boxes, scores, labels = scene(0, 3)
    with pytest.raises(TypeError, match=r"scores must be a torch.Tensor, got list"):
        rotated_nms(boxes, scores.tolist(), labels, 0.1)
    with pytest.raises(TypeError, match=r"boxes2 must be a torch.Tensor, got ndarray"):
        rotated_iou(boxes, boxes.numpy())
