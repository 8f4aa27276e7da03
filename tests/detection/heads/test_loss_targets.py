"""Which losses are computed on deltas, on boxes, or on both."""

import pytest
from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn

from rotated_atss.detection.heads import loss_modules as _registers  # noqa: F401
from rotated_atss.detection.heads.loss_targets import check_loss_target, loss_target


def build(name, **options):
    return MMDET_MODELS.build(dict(type=name, _scope_="mmdet", **options))


@pytest.mark.parametrize(
    "name, target",
    [
        ("L1Loss", "deltas"),
        ("SmoothL1Loss", "deltas"),
        ("GIoULoss", "boxes"),
        ("RotatedIoULoss", "boxes"),
        ("GaussianLoss", "boxes"),
        ("KFIoULoss", "both"),
    ],
)
def test_target_of_registered_losses(name, target):
    assert loss_target(build(name)) == target


@pytest.mark.parametrize("name", ["GDLoss", "KLDLoss", "GWDLoss", "MyIoULoss"])
def test_class_name_identifies_other_losses_of_boxes(name):
    assert loss_target(type(name, (nn.Module,), {})()) == "boxes"


@pytest.mark.parametrize(
    "name, reg_decoded_bbox, message",
    [
        ("GIoULoss", False, "True for GIoULoss, which compares boxes, got False. Set reg_decoded_bbox=True or"),
        ("L1Loss", True, "False for L1Loss, which compares deltas, got True. Set reg_decoded_bbox=False or"),
        ("KFIoULoss", True, "False for KFIoULoss, which compares deltas, got True"),
    ],
)
def test_mismatch_raises_with_both_remedies(name, reg_decoded_bbox, message):
    with pytest.raises(ValueError) as caught:
        check_loss_target(build(name), reg_decoded_bbox)
    assert str(caught.value).startswith(f"reg_decoded_bbox must be {message}")


@pytest.mark.parametrize("name, reg_decoded_bbox", [("GIoULoss", True), ("L1Loss", False), ("KFIoULoss", False)])
def test_matching_loss_is_accepted(name, reg_decoded_bbox):
    assert check_loss_target(build(name), reg_decoded_bbox) is None
