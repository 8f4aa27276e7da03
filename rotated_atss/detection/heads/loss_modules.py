"""Losses as MMDetection's registry knows them."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from rotated_atss.ops import losses as plain


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

    compares = "boxes"

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


@MODELS.register_module()
class GaussianLoss(nn.Module):
    """Distance of oriented boxes as Gaussians: mmrotate's ``GDLoss``, plain torch on every device. Goes with
    ``reg_decoded_bbox=True``.

    Args:
        kind: ``gwd`` (Yang et al., arXiv 2101.11952; published with ``loss_weight=5``), ``kld`` (arXiv 2106.01883;
            published with ``loss_weight=5.5, sqrt=False``), ``jd``, ``kld_symmax`` or ``kld_symmin``.
        loss_weight: Factor of the loss.
        kwargs: As ``GDLoss``: ``fun`` (``log1p``, ``sqrt``, ``none``), ``tau``, ``alpha``, ``sqrt``.
    """

    compares = "boxes"
    KINDS = ("gwd", "kld", "jd", "kld_symmax", "kld_symmin")

    def __init__(self, kind: str = "kld", loss_weight: float = 1.0, **kwargs) -> None:
        super().__init__()
        if kind not in self.KINDS:
            raise ValueError(f"unknown kind {kind!r} of GaussianLoss: choose one of {', '.join(self.KINDS)}")
        from mmrotate.models.losses import GDLoss

        self.loss, self.loss_weight = GDLoss(kind, **kwargs), loss_weight

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, avg_factor: float | Tensor = 1.0
    ) -> Tensor:
        """Sum over aligned (N, 5) boxes, weighted by (N,) or (N, 5), over ``avg_factor``."""
        if not len(pred):
            return pred.sum() * 0
        loss = self.loss(pred.float(), target.float(), _each(weight), reduction_override="none")
        return self.loss_weight * loss.sum() / avg_factor


@MODELS.register_module()
class KFIoULoss(nn.Module):
    """Kalman-filter IoU of boxes and a smooth L1 of the centre's deltas (Yang et al., arXiv 2201.12558): mmrotate's
    ``KFLoss``, plain torch on every device.

    Args:
        fun: ``none`` (1 - KFIoU), ``ln`` or ``exp``.
        loss_weight: Factor of the loss; published with 5.
    """

    compares = "both"

    def __init__(self, fun: str = "none", loss_weight: float = 1.0) -> None:
        super().__init__()
        if fun not in ("none", "ln", "exp"):
            raise ValueError(f"unknown fun {fun!r} of KFIoULoss: choose one of none, ln, exp")
        from mmrotate.models.losses import KFLoss

        self.loss, self.loss_weight = KFLoss(fun), loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None,
        avg_factor: float | Tensor,
        pred_boxes: Tensor,
        target_boxes: Tensor,
    ) -> Tensor:
        """Sum over aligned (N, 5) deltas and boxes, weighted by (N,) or (N, 5), over ``avg_factor``."""
        loss = self.loss(
            pred.float(), target.float(), _each(weight), reduction_override="none",
            pred_decode=pred_boxes.float(), targets_decode=target_boxes.float(),
        )  # fmt: skip
        return self.loss_weight * loss.sum() / avg_factor


def _each(weight: Tensor | None) -> Tensor | None:
    """(N,) weights of (N,) or (N, 5)."""
    return weight.mean(1) if weight is not None and weight.ndim == 2 else weight
