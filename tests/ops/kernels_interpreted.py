"""The Triton kernels against the plain version, run by Triton's interpreter on the CPU. test_kernels.py starts this
file with TRITON_INTERPRET=1.
"""

import math

import pytest
import torch

from rotated_atss.ops import nms, rotated_iou, rotated_nms, rotated_nms_mask
from rotated_atss.ops.kernels import iou_kernels as kernels
from tests.ops.test_iou import KINDS, REPORTED, bound, make_pairs

# what the interpreter's numpy says of NaN and infinite boxes
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
DTYPES = [torch.float32, torch.float64]
GRADIENT_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def triton_iou(first, second, **options):
    return rotated_iou(first, second, backend="triton", **options)


def scattered(number, size, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    scale = torch.tensor([size, size, 60.0, 60.0, 7.0], dtype=torch.float64)
    return (torch.rand(number, 5, generator=draw, dtype=torch.float64) * scale + scale.new_tensor([0, 0, 2, 2, -3])).to(
        dtype
    )


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_aligned_is_the_plain_version(kind, dtype, mode):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 300))  # no multiple of a block
    found, expected = (rotated_iou(first, second, aligned=True, mode=mode, backend=b) for b in ("triton", "torch"))
    assert found.dtype == dtype
    assert ((found - expected).abs() <= bound(first, second, dtype)).all()
    assert torch.equal(found == 0, expected == 0)


@pytest.mark.parametrize(
    "kind, dtype, mode",
    [*((kind, torch.float32, "iou") for kind in KINDS), *(("random", dtype, "iof") for dtype in DTYPES)],
)
def test_pairwise_is_the_plain_version(kind, dtype, mode):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 140))
    first = first[:7]
    found, expected = (rotated_iou(first, second, mode=mode, backend=b).double() for b in ("triton", "torch"))
    allowed = torch.stack([bound(box.expand_as(second), second, dtype) for box in first])
    assert ((found - expected).abs() <= allowed).all()
    assert torch.equal(found == 0, expected == 0)


@pytest.mark.parametrize("kind", ["random", "swapped", "thin", "far"])
def test_float32_is_near_the_truth(kind):
    first, second = (boxes.float() for boxes in make_pairs(kind, 200, seed=4))
    right = rotated_iou(first.double(), second.double(), aligned=True)
    allowed = bound(first, second, torch.float32)
    assert ((triton_iou(first, second, aligned=True).double() - right).abs() <= allowed).all()
    same = triton_iou(first[:30], second[:30]).diagonal().double()
    assert ((same - right[:30]).abs() <= allowed[:30]).all()


@pytest.mark.parametrize("size", [100, 700, 4000])  # tiles that are full, that hold some pairs, that hold none
def test_pairwise_whatever_the_crowd(size):
    first, second = scattered(22, size, seed=1), scattered(140, size, seed=2)
    found, expected = triton_iou(first, second), rotated_iou(first, second)
    assert (found - expected).abs().max() <= 2e-6
    assert torch.equal(found == 0, expected == 0)
    if size == 700:
        assert 0.001 < (found > 0).double().mean() < 0.1  # fewer than a quarter meet


def test_pairwise_in_parts(monkeypatch):
    first, second = scattered(21, 300, seed=1), scattered(33, 300, seed=2)
    whole = triton_iou(first, second)
    monkeypatch.setattr(kernels, "MAX_PAIRS_PER_LAUNCH", 33 * 9)
    assert torch.equal(triton_iou(first, second), whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name, first, second, expected", REPORTED, ids=[case[0] for case in REPORTED])
def test_reported_bad_boxes(name, first, second, expected, dtype):
    one, two = (torch.tensor([box], dtype=dtype) for box in (first, second))
    allowed = float(bound(one, two, dtype)[0]) + (1e-6 if 0.9 < expected < 1 else 0)
    for value in (triton_iou(one, two), triton_iou(two, one), triton_iou(one, two, aligned=True)):
        assert float(value) == pytest.approx(expected, abs=max(allowed, 2e-5 if expected == 0.99998 else 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_boxes_without_sense_overlap_nothing(dtype):
    odd = torch.tensor(
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
    iou = triton_iou(odd, odd)
    assert iou.isfinite().all()
    assert (iou >= 0).all()
    assert (iou <= 1).all()
    assert iou[:6].sum() == 0
    assert iou[:, :6].sum() == 0
    assert float(iou[-1, -1]) == pytest.approx(1, abs=1e-6)
    own = triton_iou(odd, odd, aligned=True)
    assert own.isfinite().all()
    assert own[:6].sum() == 0
    assert float(own[-1]) == pytest.approx(1, abs=1e-6)
    leaf = odd.clone().requires_grad_()
    triton_iou(leaf, odd.flip(0), aligned=True).sum().backward()
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_boxes_apart_overlap_by_exactly_nothing(dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs("random", 1000, seed=9))
    second[:, :2] += (first[:, 2:4].norm(dim=1) + second[:, 2:4].norm(dim=1))[:, None] / 2 + 30
    assert (triton_iou(first, second, aligned=True) == 0).all()
    # side by side along the first one's axes: their circles meet, they do not
    second = first.clone()
    second[:, 4] += 0.7
    away = (first[:, 3] + second[:, 2:4].sum(1)) / 2
    second[:, 0] -= away * first[:, 4].sin()
    second[:, 1] += away * first[:, 4].cos()
    assert (triton_iou(first, second, aligned=True) == 0).all()
    assert (triton_iou(first[:20], second[:20]).diagonal() == 0).all()


def test_turns_beyond_a_circle():
    first, second = (boxes.float() for boxes in make_pairs("random", 100))
    turned = second.clone()
    turned[:, 4] += 2000 * math.pi
    expected = rotated_iou(first.double(), turned.double(), aligned=True)
    assert (triton_iou(first, turned, aligned=True) - expected).abs().max() < 2e-3  # the angle's own rounding
    assert (triton_iou(first[:5], turned[:5]) - rotated_iou(first[:5].double(), turned[:5].double())).abs().max() < 1e-5


def test_empty_halves_and_strides():
    none, some = torch.zeros(0, 5), torch.ones(3, 5)
    assert triton_iou(none, some).shape == (0, 3)
    assert triton_iou(some, none).shape == (3, 0)
    assert triton_iou(none, none, aligned=True).shape == (0,)
    first, second = (boxes.bfloat16() for boxes in make_pairs("random", 40))
    half = triton_iou(first, second, aligned=True)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, triton_iou(first.float(), second.float(), aligned=True).bfloat16())
    wide = torch.rand(5, 12, dtype=torch.float64).t() + 1
    strided = wide[::2]
    assert torch.equal(triton_iou(strided, wide), triton_iou(strided.contiguous(), wide.contiguous()))


# -- gradients ---------------------------------------------------------------------------------------------------------


def gradients(first, second, backend, mode="iou", weight=None):
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    overlap = rotated_iou(first, second, aligned=True, mode=mode, backend=backend)
    (overlap if weight is None else overlap * weight).sum().backward()
    return torch.cat((first.grad, second.grad), 1)


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["random", "far", "tiny"])
def test_gradient_is_that_of_the_plain_version(kind, dtype, mode):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 300, seed=3))
    weight = torch.linspace(-1, 2, 300, dtype=dtype)
    found, expected = (gradients(first, second, backend, mode, weight) for backend in ("triton", "torch"))
    # of a box inside the other the derivatives cancel: measured by what a unit of the size changes
    scale = torch.maximum(expected.abs().amax(1), 1 / first[:, 2:4].amin(1))[:, None]
    assert ((found - expected).abs() <= GRADIENT_TOLERANCE[dtype] * scale).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_finite_where_edges_meet(kind):
    first, second = (boxes.float() for boxes in make_pairs(kind, 300))
    found = gradients(first, second, "triton")
    assert found.isfinite().all()
    nothing = rotated_iou(first, second, aligned=True) == 0
    assert (found[nothing] == 0).all()
    if kind == "identical":  # the best there is: no way to better it
        assert (found.abs() <= 1e-5).all()


def test_gradient_of_one_box_alone_and_of_none():
    first, second = make_pairs("random", 8)
    leaf = first.clone().requires_grad_()
    triton_iou(leaf, second, aligned=True).sum().backward()
    assert leaf.grad.abs().sum() > 0
    assert second.grad is None
    empty = torch.zeros(0, 5, requires_grad=True)
    triton_iou(empty, empty, aligned=True).sum().backward()
    assert empty.grad.shape == (0, 5)


def test_gradient_of_all_with_all_goes_by_torch():
    first, second = (boxes[:6].clone().requires_grad_() for boxes in make_pairs("random", 6))
    found = torch.autograd.grad(triton_iou(first, second).sum(), first)[0]
    assert torch.equal(found, torch.autograd.grad(rotated_iou(first, second).sum(), first)[0])


# -- NMS ---------------------------------------------------------------------------------------------------------------


def scene(seed, number):
    """Crowded, with tied scores and four classes."""
    draw = torch.Generator().manual_seed(seed)
    boxes = scattered(number, 180, seed)
    scores = (torch.rand(number, generator=draw) * 10).round() / 10
    return boxes, scores, torch.randint(0, 4, (number,), generator=draw)


@pytest.mark.parametrize(
    "number, dtype, threshold",
    [
        (0, torch.float32, 0.1),
        (1, torch.float32, 0.1),
        (32, torch.float32, 0.3),
        (33, torch.float32, 0.0),
        (150, torch.float32, 0.3),
        (70, torch.float64, 0.1),
    ],
)
def test_nms_keeps_the_same(number, dtype, threshold):
    boxes, scores, labels = scene(number, number)
    order, keep = rotated_nms_mask(boxes.to(dtype), scores, labels, threshold, backend="triton")
    assert order.shape == keep.shape == (number,)
    expected = rotated_nms(boxes.to(dtype), scores, labels, threshold)
    assert torch.equal(order[keep], expected)
    assert number < 2 or len(expected) < number


def test_nms_walks_chains_across_words():
    """Each box overlaps the next only, so that every decision hangs on the one before."""
    number = 100
    boxes = torch.stack([torch.arange(number) * 6.0, *[torch.full((number,), v) for v in (0.0, 10.0, 10.0, 0.0)]], 1)
    scores, labels = torch.linspace(1, 0, number), torch.zeros(number, dtype=torch.int64)
    kept = rotated_nms(boxes, scores, labels, 0.1, backend="triton")
    assert kept.tolist() == list(range(0, number, 2))


@pytest.mark.parametrize("sizes", [[32, 32, 1], [31, 1, 1, 31, 40], [5, 7, 3, 90, 2], [33] * 3, [1] * 40, [64, 64]])
def test_nms_walks_classes_apart_wherever_they_begin(sizes):
    """Chains as above, class by class: a class may share words with others, begin a word, or fill several."""
    place = torch.cat([torch.arange(size) * 6.0 for size in sizes])
    boxes = torch.stack([place, *[torch.full_like(place, value) for value in (0.0, 10.0, 10.0, 0.0)]], 1)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    shuffled = torch.randperm(len(place), generator=torch.Generator().manual_seed(0))
    kept = rotated_nms(boxes[shuffled], -place[shuffled], labels[shuffled], 0.1, backend="triton")
    assert sorted(shuffled[kept].tolist()) == torch.nonzero(place % 12 == 0).squeeze(1).tolist()


def test_nms_of_odd_boxes_scores_and_labels():
    boxes, scores, labels = scene(7, 60)
    boxes[3, 0], boxes[9, 4], boxes[11, 2], scores[5], scores[20] = math.nan, math.inf, 0, math.nan, math.nan
    labels = torch.tensor([-(2**40), 0, 7, 2**40])[labels]
    kept = rotated_nms(boxes, scores, labels, 0.1, backend="triton")
    assert torch.equal(kept, rotated_nms(boxes, scores, labels, 0.1))
    half = rotated_nms(boxes.bfloat16(), scores, labels.short() % 3, 0.1, backend="triton")
    assert torch.equal(half, rotated_nms(boxes.bfloat16(), scores, labels.short() % 3, 0.1))


def test_nms_leaves_the_threshold_itself():
    boxes = torch.tensor([[0.0, 0, 4, 4, 0], [2.0, 0, 4, 4, 0]], dtype=torch.float64)  # IoU 8 / 24
    labels, third = torch.zeros(2, dtype=torch.int64), float(rotated_iou(boxes[:1], boxes[1:], backend="torch"))
    for threshold, kept in ((third, [0, 1]), (third - 1e-9, [0])):
        assert rotated_nms(boxes, torch.tensor([0.9, 0.8]), labels, threshold, backend="triton").tolist() == kept


def test_nms_of_too_many_boxes_goes_by_torch(monkeypatch):
    boxes, scores, labels = scene(3, 40)
    expected = rotated_nms(boxes, scores, labels, 0.3)
    monkeypatch.setattr(nms, "_MAX_BOXES_TRITON", 39)
    monkeypatch.delattr("rotated_atss.ops.kernels.nms_kernels.keep_in_order")
    assert torch.equal(rotated_nms(boxes, scores, labels, 0.3, backend="triton"), expected)
