"""Triton kernels on CUDA against plain torch: forward, backward, NMS, and no host synchronization."""

import math

import pytest
import torch

from benchmarks import inputs
from rotated_atss.ops import backend, rotated_iou, rotated_nms, rotated_nms_mask
from tests.references import tolerances

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
DTYPES = [torch.float32, torch.float64]


def test_triton_is_the_default_backend():
    assert backend.unavailable_reason(DEVICE) == ""
    assert backend.default_backend(DEVICE) == "triton"


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", inputs.PAIR_KINDS)
def test_aligned(kind, dtype, mode):
    first, second = (boxes.to(DEVICE, dtype) for boxes in inputs.pairs(kind, 200_000))
    found, expected = (rotated_iou(first, second, aligned=True, mode=mode, backend=b) for b in ("triton", "torch"))
    assert (found - expected).abs().max() <= tolerances.IOU[dtype]
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [inputs.crowd, inputs.scene], ids=["all overlap", "few overlap"])
def test_pairwise(make, dtype, mode):
    first, second = (make(number, seed).to(DEVICE, dtype) for number, seed in ((1503, 0), (2001, 1)))
    found, expected = (rotated_iou(first, second, mode=mode, backend=b) for b in ("triton", "torch"))
    assert (found - expected).abs().max() <= tolerances.IOU[dtype]
    # the order of the pair list varies between runs
    assert torch.equal(found, rotated_iou(first, second, mode=mode, backend="triton"))
    if make is inputs.scene:
        assert 0 < (found > 0).double().mean() < 0.25


@pytest.mark.parametrize("dtype", DTYPES)
def test_disjoint_and_invalid_boxes_have_an_iou_of_exactly_0(dtype):
    first = inputs.pairs("random", 100_000)[0].to(DEVICE, dtype)
    second = first.clone()
    second[:, 4] += 0.7
    distance = (first[:, 3] + second[:, 2:4].sum(1)) / 2  # only the circles overlap
    second[:, 0] -= distance * first[:, 4].sin()
    second[:, 1] += distance * first[:, 4].cos()
    assert (rotated_iou(first, second, aligned=True, backend="triton") == 0).all()
    assert (rotated_iou(first[:500], second[:500], backend="triton").diagonal() == 0).all()
    invalid = first[:5].clone()
    invalid[0, 0], invalid[1, 4], invalid[2, 2], invalid[3, 3] = math.nan, math.nan, 0, math.inf
    for overlap in (
        rotated_iou(invalid, invalid, backend="triton").diagonal(),
        rotated_iou(invalid, invalid, aligned=True),
    ):
        assert overlap[:4].tolist() == [0] * 4
        assert float(overlap[4]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient(dtype, mode):
    gradients = []
    for name in ("triton", "torch"):
        first, second = (boxes.to(DEVICE, dtype).requires_grad_() for boxes in inputs.pairs("random", 100_000))
        weight = torch.linspace(-1, 2, len(first), device=DEVICE, dtype=dtype)
        (rotated_iou(first, second, aligned=True, mode=mode, backend=name) * weight).sum().backward()
        gradients.append(torch.cat((first.grad, second.grad), 1))
    found, expected = gradients
    smallest = torch.minimum(first, second)[:, 2:4].amin(1).detach()
    scale = torch.maximum(expected.abs().amax(1), 1 / smallest)[:, None]
    error = ((found - expected).abs() / scale).amax(1)
    # where edges nearly coincide, rounding to float32 decides between the two one-sided derivatives
    assert (error > tolerances.IOU_GRADIENT[dtype]).double().mean() <= (1e-3 if dtype == torch.float32 else 0)
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", inputs.PAIR_KINDS)
def test_gradient_is_finite(kind):
    first, second = (boxes.to(DEVICE).float().requires_grad_() for boxes in inputs.pairs(kind, 50_000))
    rotated_iou(first, second, aligned=True, backend="triton").sum().backward()
    assert first.grad.isfinite().all()
    assert second.grad.isfinite().all()


def detections(count, classes, seed, dtype=torch.float64):
    boxes = inputs.scene(count, seed, size=2048).to(DEVICE, dtype)
    generator = torch.Generator().manual_seed(seed)
    scores = (torch.rand(count, generator=generator) * 500).round() / 500  # ties
    return boxes, scores.to(DEVICE), torch.randint(classes, (count,), generator=generator).to(DEVICE)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("count, classes", [(0, 1), (1, 1), (33, 2), (2000, 15), (2049, 1), (20_000, 1), (33_000, 9)])
def test_nms_keeps_the_same_boxes(count, classes, threshold):
    arguments = *detections(count, classes, count), threshold
    expected = rotated_nms(*arguments, backend="torch")
    assert torch.equal(rotated_nms(*arguments, backend="triton"), expected)
    order, keep = rotated_nms_mask(*arguments, backend="triton")
    assert order.shape == keep.shape == (count,)
    assert torch.equal(order[keep], expected)


@pytest.fixture
def forbid_synchronization():
    """Return a function that makes every later synchronization of the host with the device an error."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


def test_the_host_is_never_synchronized(forbid_synchronization):
    first, second = (boxes.to(DEVICE).float().requires_grad_() for boxes in inputs.pairs("random", 2000))
    scores, labels = torch.rand(2000, device=DEVICE), torch.randint(15, (2000,), device=DEVICE)

    def run_all():
        rotated_iou(first, second, aligned=True).sum().backward()
        with torch.no_grad():
            rotated_iou(first, second[:700])
        rotated_nms_mask(first, scores, labels, 0.1)

    run_all()  # compiles
    torch.cuda.synchronize()
    forbid_synchronization()
    run_all()
    with pytest.raises(RuntimeError, match="synchronizing"):
        first.detach()[0, 0].item()
