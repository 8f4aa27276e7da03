"""The closed form against shapely, its transpose, the horizontal case and every bad box that was reported of other
codes.
"""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import obb_to_poly
from rotated_atss.ops.iou import overlap_of_columns

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11}


def bound(boxes1, boxes2, dtype):
    """R5: the allowed error grows with the aspect ratio in float32, for the angle itself is rounded."""
    if dtype == torch.float64:
        return torch.full((len(boxes1),), TOLERANCE[dtype], dtype=torch.float64)
    sides = torch.stack([boxes.double()[:, 2:4].amax(1) / boxes.double()[:, 2:4].amin(1) for boxes in (boxes1, boxes2)])
    return (1e-7 * sides.amax(0)).clamp(min=TOLERANCE[dtype])


def exact_overlap(box1, box2):
    """Sutherland and Hodgman's clipping in rational arithmetic: no rounding after the corners."""
    corners = obb_to_poly(torch.stack((box1, box2)).double()).reshape(2, 4, 2).tolist()
    subject, clip = ([tuple(map(Fraction, point)) for point in polygon] for polygon in corners)

    def area(points):
        return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1])) / 2

    union = area(subject) + area(clip)
    for a, b in zip(clip, clip[1:] + clip[:1]):
        side = [(b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) for p in subject]
        kept = []
        for k, point in enumerate(subject):
            before = k - 1
            if (side[k] >= 0) != (side[before] >= 0):
                t = side[before] / (side[before] - side[k])
                kept.append(tuple(q + t * (p - q) for p, q in zip(point, subject[before])))
            if side[k] >= 0:
                kept.append(point)
        subject = kept
    inter = area(subject) if subject else 0
    return float(inter / (union - inter))


def shapely_overlap(boxes1, boxes2, mode="iou"):
    """The slow obvious reference, in float64, centred as exactly as the numbers allow."""
    shapely = pytest.importorskip("shapely")
    first, second = boxes1.double().clone(), boxes2.double().clone()
    second[:, :2] -= first[:, :2]
    first[:, :2] = 0
    polygons = [shapely.polygons(obb_to_poly(boxes).numpy().reshape(-1, 4, 2)) for boxes in (first, second)]
    inter = shapely.area(shapely.intersection(*polygons))
    area1, area2 = (boxes[:, 2].numpy() * boxes[:, 3].numpy() for boxes in (first, second))
    return torch.from_numpy(inter / (area1 if mode == "iof" else area1 + area2 - inter))


def uniform(draw, number, low, high):
    return torch.rand(number, generator=draw, dtype=torch.float64) * (high - low) + low


def make_pairs(kind, number, seed=0):
    draw = torch.Generator().manual_seed(seed)

    def boxes(reach=10.0, smallest=2.0, largest=62.0):
        columns = [(-reach, reach), (-reach, reach), (smallest, largest), (smallest, largest), (-4, 4)]
        return torch.stack([uniform(draw, number, low, high) for low, high in columns], 1)

    first = boxes()
    if kind == "random":
        return first, boxes()
    if kind == "identical":
        return first, first.clone()
    if kind == "swapped":  # the same rectangle, w and h exchanged and a quarter turn on
        second = first[:, [0, 1, 3, 2, 4]].clone()
        second[:, 4] += math.pi / 2
        return first, second
    if kind == "jittered":
        return first, first + (torch.rand(number, 5, generator=draw, dtype=torch.float64) - 0.5) * 2e-3
    if kind == "far":
        offset = torch.tensor([20000.0, 19000, 0, 0, 0], dtype=torch.float64)
        return first + offset, boxes() + offset
    if kind == "tiny":
        return boxes(1e-3, 1e-4, 1e-2), boxes(1e-3, 1e-4, 1e-2)
    if kind == "thin":
        first[:, 3] = first[:, 2] / 10 ** uniform(draw, number, 0, 4)
        second = first.clone()
        second[:, 0] += uniform(draw, number, -1, 1) * first[:, 3]
        second[:, 4] += uniform(draw, number, -1, 1) * first[:, 3] / first[:, 2]
        return first, second
    assert kind == "touching"  # side by side, sharing a side exactly
    first[:, 4] = (uniform(draw, number, 0, 4).floor()) * math.pi / 2
    second = first.clone()
    second[:, 0] += first[:, 2] * first[:, 4].cos()
    second[:, 1] += first[:, 2] * first[:, 4].sin()
    return first, second


KINDS = ["random", "identical", "swapped", "jittered", "far", "tiny", "thin", "touching"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "swapped"])  # there GEOS itself is off by up to 1.0
def test_against_shapely(kind, dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 4000))
    allowed = bound(first, second, dtype)
    for mode in ("iou", "iof"):
        mine = rotated_iou(first, second, aligned=True, mode=mode).double()
        assert ((mine - shapely_overlap(first, second, mode)).abs() <= allowed).all(), mode


@pytest.mark.parametrize("kind", KINDS)
def test_against_rational_arithmetic(kind):
    first, second = make_pairs(kind, 150, seed=2)
    if kind == "far":  # the corners themselves are rounded there, to 4e-12 px
        first, second = (
            first - first.new_tensor([20000, 19000, 0, 0, 0]),
            second - first.new_tensor([20000, 19000, 0, 0, 0]),
        )
    exact = torch.tensor([exact_overlap(*pair) for pair in zip(first, second)], dtype=torch.float64)
    assert (rotated_iou(first, second, aligned=True) - exact).abs().max() <= TOLERANCE[torch.float64]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_transpose_range_and_self(kind, dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs(kind, 125_000))  # 8 kinds: a million pairs
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
def test_right_angles_equal_the_horizontal_case(quarter):
    first, second = make_pairs("random", 2000)
    first[:, 4] = second[:, 4] = 0
    expected = horizontal_iou(first, second)
    if quarter % 2:
        second = second[:, [0, 1, 3, 2, 4]].clone()
    second[:, 4] = quarter * math.pi / 2
    assert (rotated_iou(first, second, aligned=True) - expected).abs().max() < 1e-12


# boxes on which other codes went wrong, with the thread that reports them
REPORTED = [
    ("mmcv 2621: self IoU 0.333", (0.0, 0.0, 8.0, 4.0, 1e-4), (0.0, 0.0, 8.0, 4.0, 1e-4), 1.0),
    ("mmcv 2621: nearly itself", (60.0, 60.0, 20.0, 10.0, 0.5), (60.0, 60.0, 20.0, 10.0, 0.50001), 0.99998),
    ("mmcv 2952: -1.2e7", (1e4, 1e4, 1e-3, 1e3, 0.3), (1e4, 1e4, 1e-3, 1e3, 0.3), 1.0),
    ("mmcv 2933: quarter turn of a square", (5.0, 5.0, 4.0, 4.0, 0.0), (5.0, 5.0, 4.0, 4.0, math.pi / 2), 1.0),
    ("mmcv 2933: half turn", (5.0, 5.0, 6.0, 3.0, 0.2), (5.0, 5.0, 6.0, 3.0, 0.2 + math.pi), 1.0),
    (
        "detectron2 350: same box, w and h exchanged",
        (9.0, 7.0, 30.0, 3.0, 0.7),
        (9.0, 7.0, 3.0, 30.0, 0.7 - math.pi / 2),
        1.0,
    ),
    ("detectron2 2167: one inside the other, far out", (2e4, 2e4, 40.0, 20.0, 1.0), (2e4, 2e4, 20.0, 10.0, 1.0), 0.25),
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


def test_boxes_without_sense_overlap_nothing():
    good = [5.0, 5.0, 4.0, 4.0, 0.1]
    odd = torch.tensor(
        [
            [5, 5, 0, 4, 0],
            [5, 5, 4, -1, 0],
            [math.nan, 5, 4, 4, 0],
            [5, math.inf, 4, 4, 0],
            [5, 5, 4, 4, math.nan],
            [5, 5, 1e38, 1e38, 0.3],
            good,
        ]
    )
    for dtype in (torch.float32, torch.float64):
        iou = rotated_iou(odd.to(dtype), odd.to(dtype))
        assert iou.isfinite().all()
        assert iou[:5].sum() == 0
        assert iou[:, :5].sum() == 0
        assert float(iou[-1, -1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_boxes_apart_overlap_by_exactly_nothing(dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs("random", 100_000, seed=9))
    second[:, :2] += (first[:, 2:4].norm(dim=1) + second[:, 2:4].norm(dim=1))[:, None] / 2 + 30
    assert (rotated_iou(first, second, aligned=True) == 0).all()
    assert (rotated_iou(second, first, aligned=True, mode="iof") == 0).all()


def test_empty_shapes():
    none, some = torch.zeros(0, 5), torch.ones(3, 5)
    assert rotated_iou(none, some).shape == (0, 3)
    assert rotated_iou(some, none).shape == (3, 0)
    assert rotated_iou(none, none, aligned=True).shape == (0,)


def test_pairwise_is_aligned_of_all_pairs():
    first, second = (
        boxes[:n] * torch.tensor([20.0, 20, 1, 1, 1], dtype=torch.float64)
        for boxes, n in zip(make_pairs("random", 300), (211, 300))
    )
    i, j = torch.meshgrid(torch.arange(211), torch.arange(300), indexing="ij")
    for mode in ("iou", "iof"):
        flat = rotated_iou(first[i.flatten()], second[j.flatten()], aligned=True, mode=mode)
        assert torch.equal(rotated_iou(first, second, mode=mode), flat.view(211, 300))


def test_large_pairwise_stays_small_in_memory():
    """20,000 x 1,000 pairs: the result takes 80 MB, everything besides it at most 150."""
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
    assert used < 80 * 2 + 150  # chunks are joined once: the result exists twice for a moment


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_computed_wider_and_returned_as_given(dtype):
    first, second = (boxes.to(dtype) for boxes in make_pairs("random", 500))
    half = rotated_iou(first, second, aligned=True)
    assert half.dtype == dtype
    assert torch.equal(half, rotated_iou(first.float(), second.float(), aligned=True).to(dtype))


def test_gradient_is_the_numerical_one():
    first, second = (boxes[:40].clone().requires_grad_() for boxes in make_pairs("random", 40, seed=5))
    assert torch.autograd.gradcheck(lambda a, b: rotated_iou(a, b, aligned=True), (first, second), eps=1e-6, atol=1e-5)
    assert torch.autograd.gradcheck(
        lambda a, b: rotated_iou(a, b, mode="iof"), (first[:5], second[:4]), eps=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_finite_where_edges_meet(kind):
    first, second = (boxes.float().requires_grad_() for boxes in make_pairs(kind, 2000))
    rotated_iou(first, second, aligned=True).sum().backward()
    assert first.grad.isfinite().all()
    assert second.grad.isfinite().all()


def test_wrong_arguments_say_what_is_wrong():
    boxes = torch.ones(2, 5)
    with pytest.raises(ValueError, match=r"boxes2 must have shape \(N, 5\), got \(2, 4\)"):
        rotated_iou(boxes, torch.ones(2, 4))
    with pytest.raises(ValueError, match="aligned boxes1 and boxes2 must have equal lengths, got 2 and 3"):
        rotated_iou(boxes, torch.ones(3, 5), aligned=True)
    with pytest.raises(ValueError, match="mode must be one of iou, iof, got 'giou'"):
        rotated_iou(boxes, boxes, mode="giou")
    with pytest.raises(ValueError, match="backend must be one of torch, triton, mmcv, got 'cuda_kernel'"):
        rotated_iou(boxes, boxes, backend="cuda_kernel")


def test_mmcv_backend_agrees_where_mmcv_is_right():
    pytest.importorskip("mmcv.ops")
    first, second = (boxes.float() for boxes in make_pairs("random", 500))
    assert (rotated_iou(first, second, backend="mmcv") - rotated_iou(first, second)).abs().max() < 1e-5


def test_known_value():
    """A unit square against itself turned by 45 degrees: the regular octagon, area 2 (sqrt 2 - 1)."""
    octagon = 2 * (math.sqrt(2) - 1)
    one, two = (
        torch.tensor([[0.0, 0, 1, 1, 0]], dtype=torch.float64),
        torch.tensor([[0.0, 0, 1, 1, math.pi / 4]], dtype=torch.float64),
    )
    assert float(rotated_iou(one, two)) == pytest.approx(octagon / (2 - octagon), abs=1e-14)
    assert float(rotated_iou(one, two, mode="iof")) == pytest.approx(octagon, abs=1e-14)
    assert np.isclose(octagon, 0.8284271247)


def test_screened_is_the_same_but_for_rounding():
    """Boxes within each other, beside each other and across each other, one against many."""
    draw = torch.Generator().manual_seed(3)
    unit = torch.rand(60, 5, generator=draw, dtype=torch.float64)
    boxes = unit * torch.tensor([60.0, 60, 90, 40, 3]) + torch.tensor([0.0, 0, 1, 1, -1.5])
    boxes[::7, 2] = 0
    boxes[5] = boxes[6]
    ones = [column[:, None] for column in boxes.unbind(1)]
    many = [column[None].expand(60, 60) for column in boxes.unbind(1)]
    for mode in ("iou", "iof"):
        found = overlap_of_columns(many, ones, mode, screened=True)
        assert torch.allclose(found, rotated_iou(boxes, boxes, mode=mode).T, atol=1e-12)
    assert 0.1 < float((found > 0).double().mean()) < 0.9
