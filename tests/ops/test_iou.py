"""Rotated IoU against shapely, rational arithmetic, horizontal boxes and reported failures of other implementations."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import obb_to_poly
from rotated_atss.ops.iou import overlap_of_columns
from tests.references import tolerances
from tests.references.exact_iou import exact_iou


def bound(boxes1, boxes2, dtype):
    """Return the allowed error (N,): in float32 it grows with the aspect ratio, because the angle itself is rounded."""
    if dtype == torch.float64:
        return torch.full((len(boxes1),), tolerances.IOU[dtype], dtype=torch.float64)
    sides = torch.stack([boxes.double()[:, 2:4].amax(1) / boxes.double()[:, 2:4].amin(1) for boxes in (boxes1, boxes2)])
    return (1e-7 * sides.amax(0)).clamp(min=tolerances.IOU[dtype])


def shapely_overlap(boxes1, boxes2, mode="iou"):
    """Compute the reference with shapely in float64, relative to the first box's center."""
    shapely = pytest.importorskip("shapely")
    first, second = boxes1.double().clone(), boxes2.double().clone()
    second[:, :2] -= first[:, :2]
    first[:, :2] = 0
    polygons = [shapely.polygons(obb_to_poly(boxes).numpy().reshape(-1, 4, 2)) for boxes in (first, second)]
    inter = shapely.area(shapely.intersection(*polygons))
    area1, area2 = (boxes[:, 2].numpy() * boxes[:, 3].numpy() for boxes in (first, second))
    return torch.from_numpy(inter / (area1 if mode == "iof" else area1 + area2 - inter))


def uniform(generator, count, low, high):
    return torch.rand(count, generator=generator, dtype=torch.float64) * (high - low) + low


def make_pairs(kind, count, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def boxes(reach=10.0, smallest=2.0, largest=62.0):
        columns = [(-reach, reach), (-reach, reach), (smallest, largest), (smallest, largest), (-4, 4)]
        return torch.stack([uniform(generator, count, low, high) for low, high in columns], 1)

    first = boxes()
    if kind == "random":
        return first, boxes()
    if kind == "identical":
        return first, first.clone()
    if kind == "swapped":  # the same rectangle: w and h swapped, angle plus a quarter turn
        second = first[:, [0, 1, 3, 2, 4]].clone()
        second[:, 4] += math.pi / 2
        return first, second
    if kind == "jittered":
        return first, first + (torch.rand(count, 5, generator=generator, dtype=torch.float64) - 0.5) * 2e-3
    if kind == "far":
        offset = torch.tensor([20000.0, 19000, 0, 0, 0], dtype=torch.float64)
        return first + offset, boxes() + offset
    if kind == "tiny":
        return boxes(1e-3, 1e-4, 1e-2), boxes(1e-3, 1e-4, 1e-2)
    if kind == "thin":
        first[:, 3] = first[:, 2] / 10 ** uniform(generator, count, 0, 4)
        second = first.clone()
        second[:, 0] += uniform(generator, count, -1, 1) * first[:, 3]
        second[:, 4] += uniform(generator, count, -1, 1) * first[:, 3] / first[:, 2]
        return first, second
    if kind == "nearly parallel":  # angles down to the smallest float32 and float64, whose inverses overflow
        first[:, 4] = 0
        second = boxes()
        second[:, 4] = 10 ** torch.where(first[:, 0] > 0, first[:, 1] * 2 - 25, first[:, 1] * 15 - 173)
        return first, second
    assert kind == "touching"  # side by side with a common side
    first[:, 4] = (uniform(generator, count, 0, 4).floor()) * math.pi / 2
    second = first.clone()
    second[:, 0] += first[:, 2] * first[:, 4].cos()
    second[:, 1] += first[:, 2] * first[:, 4].sin()
    return first, second


KINDS = ["random", "identical", "swapped", "jittered", "far", "tiny", "thin", "nearly parallel", "touching"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "swapped"])  # GEOS is wrong by up to 1.0 there
def test_against_shapely(kind, dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 4000))
    allowed = bound(first, second, dtype)
    for mode in ("iou", "iof"):
        iou = rotated_iou(first, second, aligned=True, mode=mode).double()
        assert ((iou - shapely_overlap(first, second, mode)).abs() <= allowed).all(), mode


@pytest.mark.parametrize("kind", KINDS)
def test_against_rational_arithmetic(kind):
    first, second = make_pairs(kind, 150, seed=2)
    exact = [exact_iou(*pair) for pair in zip(first.tolist(), second.tolist())]
    exact = torch.tensor(exact, dtype=torch.float64)
    assert (rotated_iou(first, second, aligned=True) - exact).abs().max() <= tolerances.IOU[torch.float64]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_symmetry_range_and_self_iou(kind, dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 125_000))  # over a million pairs of all kinds
    iou = rotated_iou(first, second, aligned=True)
    assert iou.isfinite().all()
    assert (iou >= 0).all()
    assert (iou <= 1).all()
    allowed = bound(first, second, dtype)
    assert ((iou.double() - rotated_iou(second, first, aligned=True).double()).abs() <= allowed).all()
    own = rotated_iou(second, second, aligned=True).double()
    assert ((own - 1).abs() <= bound(second, second, dtype)).all()
    if kind in ("identical", "swapped"):
        assert ((iou.double() - 1).abs() <= allowed).all()
    if kind == "touching":
        assert (iou.double() <= allowed).all()


@pytest.mark.parametrize("kind", KINDS)
def test_float32_against_float64(kind):
    first, second = (boxes.float() for boxes in make_pairs(kind, 125_000, seed=1))
    error = rotated_iou(first, second, aligned=True).double() - rotated_iou(
        first.double(), second.double(), aligned=True
    )
    assert (error.abs() <= bound(first, second, torch.float32)).all()
    if kind not in ("thin", "touching"):
        assert error.abs().max() <= 2e-6


def horizontal_iou(first, second):
    low = torch.maximum(first[:, :2] - first[:, 2:4] / 2, second[:, :2] - second[:, 2:4] / 2)
    high = torch.minimum(first[:, :2] + first[:, 2:4] / 2, second[:, :2] + second[:, 2:4] / 2)
    inter = (high - low).clamp(min=0).prod(1)
    return inter / (first[:, 2:4].prod(1) + second[:, 2:4].prod(1) - inter)


@pytest.mark.parametrize("quarter", [0, 1, 2, 3, -1])
def test_right_angles_equal_horizontal_boxes(quarter):
    first, second = make_pairs("random", 2000)
    first[:, 4] = second[:, 4] = 0
    expected = horizontal_iou(first, second)
    if quarter % 2:
        second = second[:, [0, 1, 3, 2, 4]].clone()
    second[:, 4] = quarter * math.pi / 2
    assert (rotated_iou(first, second, aligned=True) - expected).abs().max() < 1e-12


# boxes on which other implementations fail, with the issue that reports them
REPORTED = [
    ("mmcv 2621: self IoU 0.333", (0.0, 0.0, 8.0, 4.0, 1e-4), (0.0, 0.0, 8.0, 4.0, 1e-4), 1.0),
    ("mmcv 2621: nearly itself", (60.0, 60.0, 20.0, 10.0, 0.5), (60.0, 60.0, 20.0, 10.0, 0.50001), 0.99998),
    ("mmcv 2952: -1.2e7", (1e4, 1e4, 1e-3, 1e3, 0.3), (1e4, 1e4, 1e-3, 1e3, 0.3), 1.0),
    ("mmcv 2933: quarter turn of a square", (5.0, 5.0, 4.0, 4.0, 0.0), (5.0, 5.0, 4.0, 4.0, math.pi / 2), 1.0),
    ("mmcv 2933: half turn", (5.0, 5.0, 6.0, 3.0, 0.2), (5.0, 5.0, 6.0, 3.0, 0.2 + math.pi), 1.0),
    (
        "detectron2 350: same box, w and h swapped",
        (9.0, 7.0, 30.0, 3.0, 0.7),
        (9.0, 7.0, 3.0, 30.0, 0.7 - math.pi / 2),
        1.0,
    ),
    ("detectron2 2167: nested, far from the origin", (2e4, 2e4, 40.0, 20.0, 1.0), (2e4, 2e4, 20.0, 10.0, 1.0), 0.25),
    ("detectron2 4889: a shared edge", (0.0, 0.0, 2.0, 2.0, 0.0), (2.0, 0.0, 2.0, 2.0, 0.0), 0.0),
    ("a cross", (0.0, 0.0, 10.0, 2.0, 0.3), (0.0, 0.0, 10.0, 2.0, 0.3 + math.pi / 2), 4 / 36),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name, first, second, expected", REPORTED, ids=[case[0] for case in REPORTED])
def test_reported_bad_boxes(name, first, second, expected, dtype):
    one, two = (torch.tensor([box], dtype=dtype) for box in (first, second))
    allowed = float(bound(one, two, dtype)[0]) + (1e-6 if 0.9 < expected < 1 else 0)
    for value in (rotated_iou(one, two), rotated_iou(two, one), rotated_iou(one, two, aligned=True)):
        assert float(value) == pytest.approx(expected, abs=max(allowed, 2e-5 if expected == 0.99998 else 0))


def test_invalid_boxes_overlap_nothing():
    valid = [5.0, 5.0, 4.0, 4.0, 0.1]
    boxes = torch.tensor(
        [
            [5, 5, 0, 4, 0],
            [5, 5, 4, -1, 0],
            [math.nan, 5, 4, 4, 0],
            [5, math.inf, 4, 4, 0],
            [5, 5, 4, 4, math.nan],
            [5, 5, 1e38, 1e38, 0.3],
            valid,
        ]
    )
    for dtype in (torch.float32, torch.float64):
        iou = rotated_iou(boxes.to(dtype), boxes.to(dtype))
        assert iou.isfinite().all()
        assert iou[:5].sum() == 0
        assert iou[:, :5].sum() == 0
        assert float(iou[-1, -1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_disjoint_boxes_have_an_iou_of_exactly_0(dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs("random", 100_000, seed=9))
    second[:, :2] += (first[:, 2:4].norm(dim=1) + second[:, 2:4].norm(dim=1))[:, None] / 2 + 30
    assert (rotated_iou(first, second, aligned=True) == 0).all()
    assert (rotated_iou(second, first, aligned=True, mode="iof") == 0).all()


def test_empty_shapes():
    empty, boxes = torch.zeros(0, 5), torch.ones(3, 5)
    assert rotated_iou(empty, boxes).shape == (0, 3)
    assert rotated_iou(boxes, empty).shape == (3, 0)
    assert rotated_iou(empty, empty, aligned=True).shape == (0,)


def test_pairwise_equals_aligned():
    first, second = (
        boxes[:n] * torch.tensor([20.0, 20, 1, 1, 1], dtype=torch.float64)
        for boxes, n in zip(make_pairs("random", 300), (211, 300))
    )
    i, j = torch.meshgrid(torch.arange(211), torch.arange(300), indexing="ij")
    for mode in ("iou", "iof"):
        flat = rotated_iou(first[i.flatten()], second[j.flatten()], aligned=True, mode=mode)
        assert torch.equal(rotated_iou(first, second, mode=mode), flat.view(211, 300))


@pytest.mark.slow
def test_memory_of_large_pairwise_iou():
    """20,000 x 1,000 pairs: 80 MB for the result and at most 150 MB of temporary memory."""
    code = (
        "import resource, torch\n"
        "from rotated_atss.ops import rotated_iou\n"
        "torch.manual_seed(0)\n"
        "make = lambda n: torch.cat([torch.rand(n, 2) * 4000, torch.rand(n, 2) * 60 + 4, torch.rand(n, 1) * 3], 1)\n"
        "rotated_iou(make(100), make(100))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "out = rotated_iou(make(20000), make(1000))\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    used = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert used < 80 * 2 + 150  # the concatenation of chunks holds the result twice


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_returned_in_half(dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs("random", 500))
    half = rotated_iou(first, second, aligned=True)
    assert half.dtype == dtype
    assert torch.equal(half, rotated_iou(first.float(), second.float(), aligned=True).to(dtype))


def test_gradient_equals_the_numerical_gradient():
    first, second = (boxes[:40].clone().requires_grad_() for boxes in make_pairs("random", 40, seed=5))
    assert torch.autograd.gradcheck(lambda a, b: rotated_iou(a, b, aligned=True), (first, second), eps=1e-6, atol=1e-5)
    assert torch.autograd.gradcheck(
        lambda a, b: rotated_iou(a, b, mode="iof"), (first[:5], second[:4]), eps=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_finite_for_coinciding_edges(kind):
    first, second = (boxes.float().requires_grad_() for boxes in make_pairs(kind, 2000))
    rotated_iou(first, second, aligned=True).sum().backward()
    assert first.grad.isfinite().all()
    assert second.grad.isfinite().all()


def test_invalid_arguments():
    boxes = torch.ones(2, 5)
    with pytest.raises(ValueError, match=r"boxes2 must have shape \(N, 5\), got \(2, 4\)"):
        rotated_iou(boxes, torch.ones(2, 4))
    with pytest.raises(ValueError, match="aligned boxes1 and boxes2 must have equal lengths, got 2 and 3"):
        rotated_iou(boxes, torch.ones(3, 5), aligned=True)
    with pytest.raises(ValueError, match="mode must be one of iou, iof, got 'giou'"):
        rotated_iou(boxes, boxes, mode="giou")
    with pytest.raises(ValueError, match="backend must be one of torch, triton, got 'cuda_kernel'"):
        rotated_iou(boxes, boxes, backend="cuda_kernel")


@pytest.mark.baseline
def test_equals_mmcv_on_random_boxes():
    mmcv_ops = pytest.importorskip("mmcv.ops")
    first, second = (boxes.float() for boxes in make_pairs("random", 500))
    assert (mmcv_ops.box_iou_rotated(first, second) - rotated_iou(first, second)).abs().max() < 1e-5


def test_known_value():
    """A unit square and the same square rotated by 45 degrees share a regular octagon of area 2 (sqrt 2 - 1)."""
    octagon = 2 * (math.sqrt(2) - 1)
    first, second = (
        torch.tensor([[0.0, 0, 1, 1, 0]], dtype=torch.float64),
        torch.tensor([[0.0, 0, 1, 1, math.pi / 4]], dtype=torch.float64),
    )
    assert float(rotated_iou(first, second)) == pytest.approx(octagon / (2 - octagon), abs=1e-14)
    assert float(rotated_iou(first, second, mode="iof")) == pytest.approx(octagon, abs=1e-14)
    assert np.isclose(octagon, 0.8284271247)


def test_screening_changes_results_only_by_rounding():
    """Nested, separated and crossing boxes, one against many."""
    generator = torch.Generator().manual_seed(3)
    unit = torch.rand(60, 5, generator=generator, dtype=torch.float64)
    boxes = unit * torch.tensor([60.0, 60, 90, 40, 3]) + torch.tensor([0.0, 0, 1, 1, -1.5])
    boxes[::7, 2] = 0
    boxes[5] = boxes[6]
    ones = [column[:, None] for column in boxes.unbind(1)]
    many = [column[None].expand(60, 60) for column in boxes.unbind(1)]
    for mode in ("iou", "iof"):
        expected = rotated_iou(boxes, boxes, mode=mode).T
        found = overlap_of_columns(many, ones, mode, screened=True)
        assert torch.allclose(found, expected, atol=1e-12)
        assert torch.allclose(overlap_of_columns(many, ones, mode), expected, atol=1e-12)
    assert 0.1 < float((found > 0).double().mean()) < 0.9
