"""Operations that compute in float64, on a simulated device without float64."""

import pytest
import torch

from rotated_atss.assign import adaptive_threshold, atss_assign, max_iou_assign
from rotated_atss.assign.grid_detection import find_grids
from rotated_atss.ops import rotated_iou, rotated_nms, rotated_nms_mask
from rotated_atss.ops.box_fusion import in_size_range, merge_by_nms, merge_by_voting
from rotated_atss.ops.boxes import obb_to_poly, poly_to_obb
from rotated_atss.ops.cpu_if_no_float64 import cpu_if_no_float64
from tests.references.scenes import grid_priors, random_boxes
from tests.references.simulated_mps import SimulatedMps, as_mps, devices

BOXES, SCORES, LABELS = random_boxes(300), torch.rand(300), torch.arange(300) % 3
PRIORS, LEVEL_SIZES = grid_priors(128)
IOU = torch.rand(5, 9)

CALLS = {
    "poly_to_obb": (poly_to_obb, obb_to_poly(BOXES)),
    "rotated_iou": (rotated_iou, BOXES[:50], BOXES[50:100]),
    "rotated_nms": (rotated_nms, BOXES, SCORES, LABELS, 0.1),
    "rotated_nms_mask": (rotated_nms_mask, BOXES, SCORES, LABELS, 0.1),
    "merge_by_nms": (merge_by_nms, BOXES, SCORES, LABELS, 0.3),
    "merge_by_voting": (merge_by_voting, BOXES, SCORES, LABELS, 0.3, 0.05),
    "in_size_range": (in_size_range, BOXES, 10.0, 60.0),
    "adaptive_threshold": (adaptive_threshold, IOU, IOU > 0.2),
    "atss_assign": (atss_assign, PRIORS, LEVEL_SIZES, BOXES[:20]),
    "max_iou_assign": (max_iou_assign, PRIORS, BOXES[:20]),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_on_mps_are_those_of_the_cpu(name):
    function, *args = CALLS[name]
    with SimulatedMps():
        on_mps = function(*[as_mps(value) if isinstance(value, torch.Tensor) else value for value in args])
        assert set(devices(list(on_mps) if isinstance(on_mps, tuple) else on_mps)) == {"mps"}
    for found, expected in zip(as_list(on_mps), as_list(function(*args)), strict=True):
        torch.testing.assert_close(found.as_subclass(torch.Tensor), expected)


def as_list(result):
    return list(result) if isinstance(result, tuple) else [result]


def test_grids_are_found_on_mps():
    with SimulatedMps():
        grids = find_grids(as_mps(PRIORS), LEVEL_SIZES)
    assert grids == find_grids(PRIORS, LEVEL_SIZES)


def test_keyword_arguments_are_moved():
    double_sum = cpu_if_no_float64(lambda *, values: values.double().sum().float())
    with SimulatedMps():
        total = double_sum(values=as_mps(torch.ones(3)))
        assert total.device.type == "mps"
    assert float(total) == 3


def test_the_simulated_device_has_no_float64():
    with SimulatedMps(), pytest.raises(TypeError, match="float64"):
        as_mps(torch.ones(3)).double()
    with SimulatedMps(), pytest.raises(RuntimeError, match="on mps and on the CPU"):
        as_mps(torch.ones(3)) + torch.ones(3)
