"""What a box loss compares: deltas, decoded boxes or both."""

from __future__ import annotations

from torch import nn

# Class names of the losses in MMDetection and mmrotate that compare decoded boxes contain one of these strings.
_NAME_PARTS_OF_BOX_LOSSES = ("IoU", "GD", "KLD", "GWD")


def loss_target(loss: nn.Module) -> str:
    """Return whether a box loss compares deltas, decoded boxes or both.

    Args:
        loss: Box loss. If the loss has an attribute ``loss_target``, this attribute is returned. Otherwise, the result
            depends on the class name of the loss: it is ``boxes`` for the IoU and Gaussian losses of MMDetection and
            mmrotate, and ``deltas`` for all other losses.

    Returns:
        ``deltas``, ``boxes``, or ``both`` for a loss of deltas that also takes decoded boxes (``KFIoULoss``).

    Example:
        >>> import torch
        >>> from rotated_atss.detection.heads.loss_modules import RotatedIoULoss
        >>> loss_target(RotatedIoULoss()), loss_target(torch.nn.L1Loss())
        ('boxes', 'deltas')
    """
    declared_target = getattr(loss, "loss_target", None)
    if declared_target is not None:
        return declared_target
    name = type(loss).__name__
    return "boxes" if any(part in name for part in _NAME_PARTS_OF_BOX_LOSSES) else "deltas"


def check_loss_target(loss_bbox: nn.Module, reg_decoded_bbox: bool) -> None:
    """Reject a box loss that does not match ``reg_decoded_bbox``.

    Args:
        loss_bbox: Box loss of the head.
        reg_decoded_bbox: Whether the head computes the box loss on decoded boxes.

    Raises:
        ValueError: The loss compares only decoded boxes although ``reg_decoded_bbox`` is False, or the loss compares
            deltas, alone or with boxes, although ``reg_decoded_bbox`` is True.

    Example:
        >>> import torch
        >>> check_loss_target(torch.nn.L1Loss(), reg_decoded_bbox=False)
    """
    name, target = type(loss_bbox).__name__, loss_target(loss_bbox)
    if target == "boxes" and not reg_decoded_bbox:
        raise ValueError(
            f"reg_decoded_bbox must be True for {name}, which compares boxes, got False. "
            "Set reg_decoded_bbox=True or use a loss of deltas, such as L1Loss."
        )
    if target != "boxes" and reg_decoded_bbox:
        raise ValueError(
            f"reg_decoded_bbox must be False for {name}, which compares deltas, got True. "
            "Set reg_decoded_bbox=False or use a loss of boxes, such as RotatedIoULoss."
        )
