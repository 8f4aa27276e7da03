"""Registered task modules with inputs of the tests of MMDetection and mmrotate: empty boxes, float labels."""

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

import rotated_atss.detection  # noqa: F401
from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.ops.boxes import hbb_to_obb

ASSIGNERS = {
    "atss": dict(type="RotatedATSSAssigner"),
    "atss by hbb": dict(type="RotatedATSSAssigner", assign_by_circumhbbox="le90"),
    "horizontal atss": dict(type="HorizontalATSSAssigner", ignore_iof_thr=0.5),
    "max iou": dict(type="RotatedMaxIoUAssigner"),
    **{
        name: dict(type="SelectionAssigner", strategy=name, regress_limits=())
        for name in ("atss", "ssc", "iou", "topk", "center_sampling")
    },
}
HBB_PRIORS = torch.tensor([[0.0, 0, 10, 10], [10, 10, 20, 20], [5, 5, 15, 15], [32, 32, 38, 42]])
GT_HBBS = torch.tensor([[0.0, 0, 10, 9], [0, 10, 10, 19]])
IGNORED_HBBS = torch.tensor([[30.0, 30, 40, 40]])


@pytest.fixture(params=ASSIGNERS)
def assign(request):
    """Call a registered assigner as MMDetection's tests do."""
    assigner = TASK_UTILS.build(dict(ASSIGNERS[request.param]))
    levels = () if request.param == "max iou" else None

    def call(priors, gt_boxes, labels, ignored=None):
        ignored = None if ignored is None else InstanceData(bboxes=ignored)
        instances = InstanceData(priors=priors), InstanceData(bboxes=gt_boxes, labels=labels)
        sizes = [] if levels == () else [[len(priors)]]
        return assigner.assign(instances[0], *sizes, instances[1], ignored)

    return call


@pytest.fixture(params=["horizontal", "oriented", "box type"])
def form(request):
    """Convert horizontal boxes to a box format."""
    formats = {
        "horizontal": lambda hbbs: hbbs,
        "oriented": hbb_to_obb,
        "box type": lambda b: OrientedBoxes(hbb_to_obb(b)),
    }
    return formats[request.param]


@pytest.mark.parametrize("labels", [torch.empty(0), torch.empty(0, dtype=torch.int64)], ids=["float", "int"])
@pytest.mark.parametrize("ignored", [None, torch.empty(0, 4), IGNORED_HBBS], ids=["none", "empty", "one"])
def test_no_objects_give_background(assign, form, labels, ignored):
    result = assign(form(HBB_PRIORS), form(torch.empty(0, 4)), labels, None if ignored is None else form(ignored))
    assert result.gt_inds.tolist() == [0, 0, 0, -1 if ignored is not None and len(ignored) else 0]
    assert result.labels.tolist() == [-1] * 4
    assert result.labels.dtype == torch.int64
    assert result.num_gts == 0


def test_no_priors_give_empty_results(assign, form):
    for gt_boxes, labels in ((GT_HBBS, torch.tensor([2, 3])), (torch.empty(0, 4), torch.empty(0))):
        result = assign(form(torch.empty(0, 4)), form(gt_boxes), labels, form(IGNORED_HBBS))
        assert result.gt_inds.tolist() == []
        assert result.labels.tolist() == []
        assert result.num_gts == len(gt_boxes)


def test_float_labels_become_integers(assign, form):
    result = assign(form(HBB_PRIORS), form(GT_HBBS), torch.tensor([2.0, 3.0]))
    positive = result.gt_inds > 0
    assert bool(positive[0])
    assert result.labels[positive].tolist() == [[2, 3][index - 1] for index in result.gt_inds[positive].tolist()]
    assert result.labels.dtype == torch.int64


@pytest.mark.parametrize(
    "cfg, columns",
    [
        (dict(type="OrientedDeltaCoder", angle_version="le90"), 5),
        (dict(type="PointDistanceCoder", angle_version="le135"), 5),
        (dict(type="PointDistanceCoder"), 4),
    ],
)
def test_coders_accept_no_boxes_and_a_maximum_shape(cfg, columns):
    coder = TASK_UTILS.build(cfg)
    empty = torch.empty(0, columns)
    assert coder.encode(empty, empty).shape == (0, columns)
    assert torch.as_tensor(coder.decode(empty, empty, max_shape=(32, 32))).shape == (0, columns)


def test_prior_generators_accept_empty_levels():
    generator = TASK_UTILS.build(
        dict(type="OrientedAnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=[8, 16])
    )
    assert [level.shape for level in generator.grid_priors([(0, 4), (1, 1)], device="cpu")] == [(0, 5), (1, 5)]
    assert generator.sparse_priors(torch.tensor([0, 1]), (1, 2), 0, device="cpu").shape == (2, 5)
