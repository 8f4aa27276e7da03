"""Gathering of positives: rows, padding, and no synchronization with the device."""

import torch
from mmengine.structures import InstanceData

from rotated_atss.detection.heads.positives import gather_positives

BATCH = [
    InstanceData(bboxes=torch.arange(10.0).view(2, 5)),
    InstanceData(bboxes=torch.zeros(0, 5)),
    InstanceData(bboxes=torch.arange(10.0, 25).view(3, 5)),
]
GT_ROWS = [[5.0, 6, 7, 8, 9], [10.0, 11, 12, 13, 14], [20.0, 21, 22, 23, 24]]


class OperatorNames(torch.utils._python_dispatch.TorchDispatchMode):
    """Record the names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def three_positives():
    gt_index = torch.full((3, 40), -1)
    gt_index[0, 5], gt_index[2, 7], gt_index[2, 8] = 1, 0, 2
    gt_index[1, 3] = -2
    return gt_index


def test_positives_are_gathered_with_their_boxes():
    positives = gather_positives(three_positives(), BATCH)
    assert positives.weight is None
    assert positives.image_index.tolist() == [0, 2, 2]
    assert positives.prior_index.tolist() == [5, 7, 8]
    assert positives.gt_boxes.tolist() == GT_ROWS
    values = torch.arange(120).view(3, 40)
    assert positives.gather(values).tolist() == [5, 87, 88]
    shared, own = torch.arange(200.0).view(40, 5), torch.arange(600.0).view(3, 40, 5)
    assert positives.gather_priors(shared)[:, 0].tolist() == [25, 35, 40]
    assert positives.gather_priors(own)[:, 0].tolist() == [25, 435, 440]


def test_padded_rows_have_weight_0_and_nothing_synchronizes():
    with OperatorNames() as run:
        positives = gather_positives(three_positives(), BATCH, max_num_pos=9)
    assert positives.weight.tolist() == [1] * 3 + [0] * 6
    assert positives.image_index[:3].tolist() == [0, 2, 2]
    assert positives.prior_index[:3].tolist() == [5, 7, 8]
    assert positives.gt_boxes[:3].tolist() == GT_ROWS
    assert positives.gt_boxes.isfinite().all()
    assert not run.names & {"nonzero", "_local_scalar_dense", "masked_select"}


def test_batch_without_objects_has_no_positives():
    empty = [InstanceData(bboxes=torch.zeros(0, 5))] * 3
    for max_num_pos in (None, 0):
        assert len(gather_positives(torch.full((3, 40), -1), empty, max_num_pos).image_index) == 0
