"""The Triton kernels on CUDA against plain torch there: forward, backward, NMS, and that the host never waits."""

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks are scripts, not an installed package

from benchmarks import inputs
from rotated_atss.ops import backend, rotated_iou, rotated_nms, rotated_nms_mask

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11}  # of boxes up to 31 times longer than wide


def test_triton_is_who_computes():
    assert backend.unavailable_reason(DEVICE) == ""
    assert backend.default_backend(DEVICE) == "triton"


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", inputs.PAIR_KINDS)
def test_aligned(kind, dtype, mode):
    first, second = (boxes.to(DEVICE, dtype) for boxes in inputs.pairs(kind, 200_000))
    found, expected = (rotated_iou(first, second, aligned=True, mode=mode, backend=b) for b in ("triton", "torch"))
    assert (found - expected).abs().max() <= TOLERANCE[dtype]
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [inputs.crowd, inputs.scene], ids=["all meet", "few meet"])
def test_pairwise(make, dtype, mode):
    first, second = (make(number, seed).to(DEVICE, dtype) for number, seed in ((1503, 0), (2001, 1)))
    found, expected = (rotated_iou(first, second, mode=mode, backend=b) for b in ("triton", "torch"))
    assert (found - expected).abs().max() <= TOLERANCE[dtype]
    assert torch.equal(found, rotated_iou(first, second, mode=mode, backend="triton"))  # whatever the list's order
    if make is inputs.scene:
        assert 0 < (found > 0).double().mean() < 0.25


@pytest.mark.parametrize("dtype", DTYPES)
def test_boxes_apart_or_without_sense_overlap_by_exactly_nothing(dtype):
    first = inputs.pairs("random", 100_000)[0].to(DEVICE, dtype)
    second = first.clone()
    second[:, 4] += 0.7
    away = (first[:, 3] + second[:, 2:4].sum(1)) / 2  # their circles meet, they do not
    second[:, 0] -= away * first[:, 4].sin()
    second[:, 1] += away * first[:, 4].cos()
    assert (rotated_iou(first, second, aligned=True, backend="triton") == 0).all()
    assert (rotated_iou(first[:500], second[:500], backend="triton").diagonal() == 0).all()
    odd = first[:5].clone()
    odd[0, 0], odd[1, 4], odd[2, 2], odd[3, 3] = math.nan, math.nan, 0, math.inf
    for overlap in (rotated_iou(odd, odd, backend="triton").diagonal(), rotated_iou(odd, odd, aligned=True)):
        assert overlap[:4].tolist() == [0] * 4
        assert float(overlap[4]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_gradient(dtype, tolerance, mode):
    gradients = []
    for name in ("triton", "torch"):
        first, second = (boxes.to(DEVICE, dtype).requires_grad_() for boxes in inputs.pairs("random", 100_000))
        weight = torch.linspace(-1, 2, len(first), device=DEVICE, dtype=dtype)
        (rotated_iou(first, second, aligned=True, mode=mode, backend=name) * weight).sum().backward()
        gradients.append(torch.cat((first.grad, second.grad), 1))
    found, expected = gradients
    smallest = torch.minimum(first, second)[:, 2:4].amin(1).detach()
    scale = torch.maximum(expected.abs().amax(1), 1 / smallest)[:, None]
    off = ((found - expected).abs() / scale).amax(1)
    # two edges that nearly coincide have two answers in float32
    assert (off > tolerance).double().mean() <= (1e-3 if dtype == torch.float32 else 0)
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", inputs.PAIR_KINDS)
def test_gradient_is_finite(kind):
    first, second = (boxes.to(DEVICE).float().requires_grad_() for boxes in inputs.pairs(kind, 50_000))
    rotated_iou(first, second, aligned=True, backend="triton").sum().backward()
    assert first.grad.isfinite().all()
    assert second.grad.isfinite().all()


def detections(number, classes, seed, dtype=torch.float64):
    boxes = inputs.scene(number, seed, size=2048).to(DEVICE, dtype)
    draw = torch.Generator().manual_seed(seed)
    scores = (torch.rand(number, generator=draw) * 500).round() / 500  # ties
    return boxes, scores.to(DEVICE), torch.randint(classes, (number,), generator=draw).to(DEVICE)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("number, classes", [(0, 1), (1, 1), (33, 2), (2000, 15), (2049, 1), (20_000, 1), (33_000, 9)])
def test_nms_keeps_the_same(number, classes, threshold):
    given = *detections(number, classes, number), threshold
    expected = rotated_nms(*given, backend="torch")
    assert torch.equal(rotated_nms(*given, backend="triton"), expected)
    order, keep = rotated_nms_mask(*given, backend="triton")
    assert order.shape == keep.shape == (number,)
    assert torch.equal(order[keep], expected)


@pytest.fixture
def no_waiting():
    """From ``begin()`` on, whatever makes the host wait for the device raises."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


def test_the_host_never_waits(no_waiting):
    first, second = (boxes.to(DEVICE).float().requires_grad_() for boxes in inputs.pairs("random", 2000))
    scores, labels = torch.rand(2000, device=DEVICE), torch.randint(15, (2000,), device=DEVICE)

    def everything():
        rotated_iou(first, second, aligned=True).sum().backward()
        with torch.no_grad():
            rotated_iou(first, second[:700])
        rotated_nms_mask(first, scores, labels, 0.1)

    everything()  # compiles
    torch.cuda.synchronize()
    no_waiting()
    everything()
    with pytest.raises(RuntimeError, match="synchronizing"):
        first.detach()[0, 0].item()
