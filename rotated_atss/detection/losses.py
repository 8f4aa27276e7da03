"""Losses as MMDetection's registry knows them."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from rotated_atss import losses as plain


@MODELS.register_module()
class SigmoidFocalLoss(nn.Module):
    """Focal loss in plain torch on every device: no compiled kernel is looked for.

    Args:
        use_sigmoid: True; the head reads it from the config.
        gamma: Focusing exponent.
        alpha: Weight of the positive term.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self, use_sigmoid: bool = True, gamma: float = 2.0, alpha: float = 0.25, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if not use_sigmoid:
            raise ValueError(
                "SigmoidFocalLoss is a loss of sigmoids: set use_sigmoid=True (the head counts its outputs by it)"
            )
        self.use_sigmoid = use_sigmoid
        self.gamma, self.alpha, self.loss_weight = gamma, alpha, loss_weight

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, avg_factor: float | Tensor = 1.0
    ) -> Tensor:
        """Sum over (N, C) logits against (N,) labels, weighted by (N,), over ``avg_factor``."""
        loss = plain.sigmoid_focal_loss(pred, target, gamma=self.gamma, alpha=self.alpha)
        if weight is not None:
            loss = loss * weight[:, None]
        return self.loss_weight * loss.sum() / avg_factor


@MODELS.register_module()
class RotatedIoULoss(nn.Module):
    """IoU loss of decoded oriented boxes, differentiable on the CPU as on CUDA. Goes with ``reg_decoded_bbox=True``.

    Args:
        mode: ``linear`` (default, the best published), ``square`` or ``log``.
        loss_weight: Factor of the loss.
    """

    on_decoded_boxes = True

    def __init__(self, mode: str = "linear", loss_weight: float = 1.0) -> None:
        super().__init__()
        if mode not in plain.IOU_LOSS_FORMS:
            raise ValueError(
                f"unknown mode {mode!r} of RotatedIoULoss: choose one of {', '.join(plain.IOU_LOSS_FORMS)}"
            )
        self.mode, self.loss_weight = mode, loss_weight

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, avg_factor: float | Tensor = 1.0
    ) -> Tensor:
        """Sum over aligned (N, 5) boxes, weighted by (N,) or (N, 5), over ``avg_factor``."""
        if not len(pred):
            return pred.sum() * 0
        loss = plain.rotated_iou_loss(pred, target, form=self.mode)
        if weight is not None:
            loss = loss * (weight.mean(1) if weight.ndim == 2 else weight)
        return self.loss_weight * loss.sum() / torch.as_tensor(avg_factor, device=pred.device)
