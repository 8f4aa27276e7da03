"""Whether a box loss compares deltas or decoded boxes."""

from __future__ import annotations

from torch import nn

GAUSSIAN_LOSS_NAMES = ("GD", "KLD", "GWD")  # parts of the class names of mmrotate's losses


def loss_target(loss: nn.Module) -> str:
    """Return whether a box loss compares deltas, decoded boxes or both.

    Args:
        loss: Box loss, with an attribute ``loss_target``. Without it, the result depends on the class name.

    Returns:
        ``deltas``, ``boxes``, or ``both`` (deltas and decoded boxes).

    Example:
        >>> import torch
        >>> from rotated_atss.detection.heads.loss_modules import RotatedIoULoss
        >>> loss_target(RotatedIoULoss()), loss_target(torch.nn.L1Loss())
        ('boxes', 'deltas')
    """
    declared = getattr(loss, "loss_target", None)
    if declared is not None:
        return declared
    name = type(loss).__name__
    return "boxes" if "IoU" in name or any(part in name for part in GAUSSIAN_LOSS_NAMES) else "deltas"


def check_loss_target(loss_bbox: nn.Module, reg_decoded_bbox: bool) -> None:
    """Reject a box loss that does not match ``reg_decoded_bbox``.

    Args:
        loss_bbox: Box loss of the head.
        reg_decoded_bbox: Whether the head computes the box loss on decoded boxes.

    Raises:
        ValueError: A loss of boxes with ``reg_decoded_bbox=False``, or a loss of deltas (or of both) with True.

    Example:
        >>> import torch
        >>> check_loss_target(torch.nn.L1Loss(), reg_decoded_bbox=False)
    """
    name, target = type(loss_bbox).__name__, loss_target(loss_bbox)
    if target == "boxes" and not reg_decoded_bbox:
        raise ValueError(
            f"{name} compares boxes, got reg_decoded_bbox=False. Set reg_decoded_bbox=True or use a loss of deltas, "
            "such as L1Loss."
        )
    if target != "boxes" and reg_decoded_bbox:
        raise ValueError(
            f"{name} compares deltas, got reg_decoded_bbox=True. Set reg_decoded_bbox=False or use a loss of boxes, "
            "such as RotatedIoULoss."
        )
