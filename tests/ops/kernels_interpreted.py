"""Triton kernels against plain torch, run by Triton's interpreter on the CPU.

test_kernels.py starts this file with TRITON_INTERPRET=1.
"""

import math

import pytest
import torch

from rotated_atss.ops import nms, rotated_iou, rotated_nms, rotated_nms_mask
from rotated_atss.ops.kernels import iou_kernels as kernels
from tests.ops.test_iou import KINDS, REPORTED, bound, make_pairs
from tests.references import tolerances

# NumPy, used by the interpreter, warns about NaN and infinite boxes
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
DTYPES = [torch.float32, torch.float64]


def triton_iou(first, second, **options):
    return rotated_iou(first, second, backend="triton", **options)


def scattered(count, size, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([size, size, 60.0, 60.0, 7.0], dtype=torch.float64)
    unit = torch.rand(count, 5, generator=generator, dtype=torch.float64)
    return (unit * scale + scale.new_tensor([0, 0, 2, 2, -3])).to(dtype)


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_aligned_equals_plain_torch(kind, dtype, mode):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 150))  # two blocks, the second one not full
    found, expected = (rotated_iou(first, second, aligned=True, mode=mode, backend=b) for b in ("triton", "torch"))
    assert found.dtype == dtype
    assert ((found - expected).abs() <= bound(first, second, dtype)).all()
    assert torch.equal(found == 0, expected == 0)


@pytest.mark.parametrize(
    "kind, dtype, mode",
    [*((kind, torch.float32, "iou") for kind in KINDS), *(("random", dtype, "iof") for dtype in DTYPES)],
)
def test_pairwise_equals_plain_torch(kind, dtype, mode):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 140))
    first = first[:7]
    found, expected = (rotated_iou(first, second, mode=mode, backend=b).double() for b in ("triton", "torch"))
    allowed = torch.stack([bound(box.expand_as(second), second, dtype) for box in first])
    assert ((found - expected).abs() <= allowed).all()
    assert torch.equal(found == 0, expected == 0)


@pytest.mark.parametrize("kind", ["random", "swapped", "thin", "far"])
def test_float32_is_close_to_float64(kind):
    first, second = (boxes.float() for boxes in make_pairs(kind, 128, seed=4))
    expected = rotated_iou(first.double(), second.double(), aligned=True)
    allowed = bound(first, second, torch.float32)
    assert ((triton_iou(first, second, aligned=True).double() - expected).abs() <= allowed).all()
    pairwise = triton_iou(first[:30], second[:30]).diagonal().double()
    assert ((pairwise - expected[:30]).abs() <= allowed[:30]).all()


@pytest.mark.parametrize("size", [100, 700, 4000])  # full tiles, tiles with some pairs, empty tiles
def test_pairwise_at_every_density(size):
    first, second = scattered(22, size, seed=1), scattered(140, size, seed=2)
    found, expected = triton_iou(first, second), rotated_iou(first, second)
    assert (found - expected).abs().max() <= 2e-6
    assert torch.equal(found == 0, expected == 0)
    if size == 700:
        assert 0.001 < (found > 0).double().mean() < 0.1  # fewer than a quarter overlap


def test_pairwise_in_several_launches(monkeypatch):
    first, second = scattered(21, 300, seed=1), scattered(33, 300, seed=2)
    expected = triton_iou(first, second)
    monkeypatch.setattr(kernels, "MAX_PAIRS_PER_LAUNCH", 33 * 9)
    assert torch.equal(triton_iou(first, second), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name, first, second, expected", REPORTED, ids=[case[0] for case in REPORTED])
def test_reported_bad_boxes(name, first, second, expected, dtype):
    one, two = (torch.tensor([box], dtype=dtype) for box in (first, second))
    allowed = float(bound(one, two, dtype)[0]) + (1e-6 if 0.9 < expected < 1 else 0)
    for value in (triton_iou(one, two), triton_iou(two, one), triton_iou(one, two, aligned=True)):
        assert float(value) == pytest.approx(expected, abs=max(allowed, 2e-5 if expected == 0.99998 else 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_invalid_boxes_overlap_nothing(dtype):
    boxes = torch.tensor(
        [
            [5, 5, 0, 4, 0],
            [5, 5, 4, -1, 0],
            [math.nan, 5, 4, 4, 0],
            [5, math.inf, 4, 4, 0],
            [5, 5, 4, 4, math.nan],
            [5, 5, math.inf, 4, 0],
            [5, 5, 1e38, 1e38, 0.3],
            [5, 5, 4, 4, 0.1],
        ],
        dtype=dtype,
    )
    iou = triton_iou(boxes, boxes)
    assert iou.isfinite().all()
    assert (iou >= 0).all()
    assert (iou <= 1).all()
    assert iou[:6].sum() == 0
    assert iou[:, :6].sum() == 0
    assert float(iou[-1, -1]) == pytest.approx(1, abs=1e-6)
    own = triton_iou(boxes, boxes, aligned=True)
    assert own.isfinite().all()
    assert own[:6].sum() == 0
    assert float(own[-1]) == pytest.approx(1, abs=1e-6)
    leaf = boxes.clone().requires_grad_()
    triton_iou(leaf, boxes.flip(0), aligned=True).sum().backward()
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_disjoint_boxes_have_an_iou_of_exactly_0(dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs("random", 300, seed=9))
    second[:, :2] += (first[:, 2:4].norm(dim=1) + second[:, 2:4].norm(dim=1))[:, None] / 2 + 30
    assert (triton_iou(first, second, aligned=True) == 0).all()
    # side by side along the first box's height axis: only the circles overlap
    second = first.clone()
    second[:, 4] += 0.7
    distance = (first[:, 3] + second[:, 2:4].sum(1)) / 2
    second[:, 0] -= distance * first[:, 4].sin()
    second[:, 1] += distance * first[:, 4].cos()
    assert (triton_iou(first, second, aligned=True) == 0).all()
    assert (triton_iou(first[:20], second[:20]).diagonal() == 0).all()


def test_angles_of_many_turns():
    first, second = (boxes.float() for boxes in make_pairs("random", 100))
    rotated = second.clone()
    rotated[:, 4] += 2000 * math.pi
    expected = rotated_iou(first.double(), rotated.double(), aligned=True)
    assert (triton_iou(first, rotated, aligned=True) - expected).abs().max() < 2e-3  # rounding of the angle
    expected = rotated_iou(first[:5].double(), rotated[:5].double())
    assert (triton_iou(first[:5], rotated[:5]) - expected).abs().max() < 1e-5


def test_empty_input_half_precision_and_strides():
    empty, boxes = torch.zeros(0, 5), torch.ones(3, 5)
    assert triton_iou(empty, boxes).shape == (0, 3)
    assert triton_iou(boxes, empty).shape == (3, 0)
    assert triton_iou(empty, empty, aligned=True).shape == (0,)
    first, second = (boxes.bfloat16() for boxes in make_pairs("random", 40))
    half = triton_iou(first, second, aligned=True)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, triton_iou(first.float(), second.float(), aligned=True).bfloat16())
    transposed = torch.rand(5, 12, dtype=torch.float64).t() + 1
    strided = transposed[::2]
    expected = triton_iou(strided.contiguous(), transposed.contiguous())
    assert torch.equal(triton_iou(strided, transposed), expected)


def gradients(first, second, backend, mode="iou", weight=None):
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    overlap = rotated_iou(first, second, aligned=True, mode=mode, backend=backend)
    (overlap if weight is None else overlap * weight).sum().backward()
    return torch.cat((first.grad, second.grad), 1)


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["random", "far", "tiny"])
def test_gradient_equals_plain_torch(kind, dtype, mode):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 150, seed=3))
    weight = torch.linspace(-1, 2, 150, dtype=dtype)
    found, expected = (gradients(first, second, backend, mode, weight) for backend in ("triton", "torch"))
    # the derivatives of nested boxes cancel, so the error is relative to the inverse of the size
    scale = torch.maximum(expected.abs().amax(1), 1 / first[:, 2:4].amin(1))[:, None]
    assert ((found - expected).abs() <= tolerances.IOU_GRADIENT[dtype] * scale).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_finite_for_coinciding_edges(kind):
    first, second = (boxes.float() for boxes in make_pairs(kind, 150))
    found = gradients(first, second, "triton")
    assert found.isfinite().all()
    disjoint = rotated_iou(first, second, aligned=True) == 0
    assert (found[disjoint] == 0).all()
    if kind == "identical":  # the maximum of the IoU
        assert (found.abs() <= 1e-5).all()


def test_gradient_of_one_argument_and_of_empty_input():
    first, second = make_pairs("random", 8)
    leaf = first.clone().requires_grad_()
    triton_iou(leaf, second, aligned=True).sum().backward()
    assert leaf.grad.abs().sum() > 0
    assert second.grad is None
    empty = torch.zeros(0, 5, requires_grad=True)
    triton_iou(empty, empty, aligned=True).sum().backward()
    assert empty.grad.shape == (0, 5)


def test_gradient_of_pairwise_iou_is_computed_by_torch():
    first, second = (boxes[:6].clone().requires_grad_() for boxes in make_pairs("random", 6))
    found = torch.autograd.grad(triton_iou(first, second).sum(), first)[0]
    assert torch.equal(found, torch.autograd.grad(rotated_iou(first, second).sum(), first)[0])


def scene(seed, count):
    """Crowded boxes with tied scores and four classes."""
    generator = torch.Generator().manual_seed(seed)
    boxes = scattered(count, 180, seed)
    scores = (torch.rand(count, generator=generator) * 10).round() / 10
    return boxes, scores, torch.randint(0, 4, (count,), generator=generator)


@pytest.mark.parametrize(
    "count, dtype, threshold",
    [
        (0, torch.float32, 0.1),
        (1, torch.float32, 0.1),
        (32, torch.float32, 0.3),
        (33, torch.float32, 0.0),
        (100, torch.float32, 0.3),
        (70, torch.float64, 0.1),
    ],
)
def test_nms_keeps_the_same_boxes(count, dtype, threshold):
    boxes, scores, labels = scene(count, count)
    order, keep = rotated_nms_mask(boxes.to(dtype), scores, labels, threshold, backend="triton")
    assert order.shape == keep.shape == (count,)
    expected = rotated_nms(boxes.to(dtype), scores, labels, threshold)
    assert torch.equal(order[keep], expected)
    assert count < 2 or len(expected) < count


def test_nms_of_chains_across_words():
    """Each box overlaps only the next one, so every decision depends on the previous one."""
    count = 100
    boxes = torch.stack([torch.arange(count) * 6.0, *[torch.full((count,), v) for v in (0.0, 10.0, 10.0, 0.0)]], 1)
    scores, labels = torch.linspace(1, 0, count), torch.zeros(count, dtype=torch.int64)
    kept = rotated_nms(boxes, scores, labels, 0.1, backend="triton")
    assert kept.tolist() == list(range(0, count, 2))


@pytest.mark.parametrize("sizes", [[32, 32, 1], [31, 1, 1, 31, 40], [5, 7, 3, 90, 2], [33] * 3, [1] * 40, [64, 64]])
def test_nms_of_classes_at_every_position_in_words(sizes):
    """Chains per class: classes share words with others, start at a word, or fill several words."""
    place = torch.cat([torch.arange(size) * 6.0 for size in sizes])
    boxes = torch.stack([place, *[torch.full_like(place, value) for value in (0.0, 10.0, 10.0, 0.0)]], 1)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    shuffled = torch.randperm(len(place), generator=torch.Generator().manual_seed(0))
    kept = rotated_nms(boxes[shuffled], -place[shuffled], labels[shuffled], 0.1, backend="triton")
    assert sorted(shuffled[kept].tolist()) == torch.nonzero(place % 12 == 0).squeeze(1).tolist()


def test_nms_of_invalid_boxes_nan_scores_and_unusual_labels():
    boxes, scores, labels = scene(7, 40)
    boxes[3, 0], boxes[9, 4], boxes[11, 2], scores[5], scores[20] = math.nan, math.inf, 0, math.nan, math.nan
    labels = torch.tensor([-(2**40), 0, 7, 2**40])[labels]
    kept = rotated_nms(boxes, scores, labels, 0.1, backend="triton")
    assert torch.equal(kept, rotated_nms(boxes, scores, labels, 0.1))
    half = rotated_nms(boxes.bfloat16(), scores, labels.short() % 3, 0.1, backend="triton")
    assert torch.equal(half, rotated_nms(boxes.bfloat16(), scores, labels.short() % 3, 0.1))


def test_iou_equal_to_the_threshold_does_not_suppress():
    boxes = torch.tensor([[0.0, 0, 4, 4, 0], [2.0, 0, 4, 4, 0]], dtype=torch.float64)  # IoU 8 / 24
    labels, third = torch.zeros(2, dtype=torch.int64), float(rotated_iou(boxes[:1], boxes[1:], backend="torch"))
    for threshold, kept in ((third, [0, 1]), (third - 1e-9, [0])):
        assert rotated_nms(boxes, torch.tensor([0.9, 0.8]), labels, threshold, backend="triton").tolist() == kept


def test_nms_of_too_many_boxes_is_computed_by_torch(monkeypatch):
    boxes, scores, labels = scene(3, 40)
    expected = rotated_nms(boxes, scores, labels, 0.3)
    monkeypatch.setattr(nms, "_MAX_BOXES_TRITON", 39)
    monkeypatch.delattr("rotated_atss.ops.kernels.nms_kernels.compute_keep_mask")
    assert torch.equal(rotated_nms(boxes, scores, labels, 0.3, backend="triton"), expected)
