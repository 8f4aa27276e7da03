"""Classification and box losses, registered with MMDetection. ``GaussianLoss`` and ``KFIoULoss`` need mmrotate."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from rotated_atss.ops.losses import IOU_LOSS_FORMS, rotated_iou_loss, sigmoid_focal_loss


@MODELS.register_module()
class SigmoidFocalLoss(nn.Module):
    """Focal loss (Lin et al., arXiv 1708.02002) in plain PyTorch, without mmcv's compiled kernel.

    Args:
        use_sigmoid: Must be True. MMDetection's heads read it from the config to set their number of output channels.
        gamma: Focusing exponent.
        alpha: Weight of the positive term. The weight of the negative term is ``1 - alpha``.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: ``use_sigmoid=False``.

    Example:
        >>> loss = SigmoidFocalLoss(gamma=0.0, alpha=0.5)  # half the cross entropy
        >>> loss(torch.zeros(1, 1), torch.tensor([0]))
        tensor(0.3466)
    """

    def __init__(
        self, use_sigmoid: bool = True, gamma: float = 2.0, alpha: float = 0.25, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if not use_sigmoid:
            raise ValueError("use_sigmoid of SigmoidFocalLoss must be True, got False. It does not support softmax.")
        self.use_sigmoid = use_sigmoid
        self.gamma, self.alpha, self.loss_weight = gamma, alpha, loss_weight

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, avg_factor: float | Tensor = 1.0
    ) -> Tensor:
        """Compute the weighted sum of the losses, divided by ``avg_factor``.

        Args:
            pred: (N, C) logits.
            target: (N,) int64 labels in [0, C]; C is background.
            weight: (N,) or None.
            avg_factor: Normalizer.

        Returns:
            Scalar loss.
        """
        loss = sigmoid_focal_loss(pred, target, gamma=self.gamma, alpha=self.alpha)
        if weight is not None:
            loss = loss * weight[:, None]
        return self.loss_weight * loss.sum() / avg_factor


@MODELS.register_module()
class RotatedIoULoss(nn.Module):
    """IoU loss of decoded oriented boxes; requires ``reg_decoded_bbox=True``.

    Args:
        mode: ``linear``, ``square`` or ``log``. ``linear`` has the best published results.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: The mode is unknown.

    Example:
        >>> box, half = torch.tensor([[0.0, 0.0, 4.0, 2.0, 0.0]]), torch.tensor([[1.0, 0.0, 2.0, 2.0, 0.0]])
        >>> RotatedIoULoss(mode="linear")(half, box)
        tensor(0.5000)
    """

    loss_target = "boxes"  # the head passes decoded boxes, not deltas

    def __init__(self, mode: str = "linear", loss_weight: float = 1.0) -> None:
        super().__init__()
        if mode not in IOU_LOSS_FORMS:
            raise ValueError(f"mode of RotatedIoULoss must be one of {', '.join(IOU_LOSS_FORMS)}, got {mode!r}")
        self.mode, self.loss_weight = mode, loss_weight

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, avg_factor: float | Tensor = 1.0
    ) -> Tensor:
        """Compute the weighted sum of the losses, divided by ``avg_factor``.

        Args:
            pred: (N, 5) predicted boxes.
            target: (N, 5) ground-truth boxes.
            weight: (N,), (N, 5) or None. Weights (N, 5) are averaged over each row.
            avg_factor: Normalizer.

        Returns:
            Scalar loss.
        """
        if not len(pred):
            return pred.sum() * 0  # keeps the parameters in the graph, as DDP requires
        loss = rotated_iou_loss(pred, target, form=self.mode)
        weight = _average_per_box(weight)
        if weight is not None:
            loss = loss * weight
        return self.loss_weight * loss.sum() / torch.as_tensor(avg_factor, device=pred.device)


@MODELS.register_module()
class GaussianLoss(nn.Module):
    """Distance between Gaussians that model oriented boxes; wraps mmrotate's ``GDLoss``.

    Requires ``reg_decoded_bbox=True``.

    Args:
        kind: ``gwd`` (Yang et al., arXiv 2101.11952), ``kld`` (arXiv 2106.01883), or a symmetric variant of ``kld``
            (``jd``, ``kld_symmax``, ``kld_symmin``). The published results use ``loss_weight=5`` for ``gwd``, and
            ``loss_weight=5.5, sqrt=False`` for ``kld``.
        loss_weight: Factor of the loss.
        kwargs: Arguments of ``GDLoss``: ``fun`` (``log1p``, ``sqrt``, ``none``), ``tau``, ``alpha``, ``sqrt``.

    Raises:
        ValueError: The kind is unknown.
    """

    loss_target = "boxes"
    KINDS = ("gwd", "kld", "jd", "kld_symmax", "kld_symmin")

    def __init__(self, kind: str = "kld", loss_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__()
        if kind not in self.KINDS:
            raise ValueError(f"kind of GaussianLoss must be one of {', '.join(self.KINDS)}, got {kind!r}")
        from mmrotate.models.losses import GDLoss

        self.loss, self.loss_weight = GDLoss(kind, **kwargs), loss_weight

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, avg_factor: float | Tensor = 1.0
    ) -> Tensor:
        """Compute the weighted sum of the losses; arguments as for :meth:`RotatedIoULoss.forward`."""
        if not len(pred):
            return pred.sum() * 0
        loss = self.loss(pred.float(), target.float(), _average_per_box(weight), reduction_override="none")
        return self.loss_weight * loss.sum() / avg_factor


@MODELS.register_module()
class KFIoULoss(nn.Module):
    """Kalman-filter IoU of boxes plus smooth L1 of the center deltas; wraps mmrotate's ``KFLoss``.

    Requires ``reg_decoded_bbox=False``. Source: Yang et al., arXiv 2201.12558.

    Args:
        fun: ``none`` (1 - KFIoU), ``ln`` or ``exp``.
        loss_weight: Factor of the loss. The published results use 5.

    Raises:
        ValueError: ``fun`` is unknown.
    """

    loss_target = "both"  # the head passes deltas and decoded boxes
    FUNCTIONS = ("none", "ln", "exp")

    def __init__(self, fun: str = "none", loss_weight: float = 1.0) -> None:
        super().__init__()
        if fun not in self.FUNCTIONS:
            raise ValueError(f"fun of KFIoULoss must be one of {', '.join(self.FUNCTIONS)}, got {fun!r}")
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
        """Compute the weighted sum of the losses, divided by ``avg_factor``.

        Args:
            pred: (N, 5) predicted deltas.
            target: (N, 5) target deltas.
            weight: (N,), (N, 5) or None. Weights (N, 5) are averaged over each row.
            avg_factor: Normalizer.
            pred_boxes: (N, 5) decoded boxes.
            target_boxes: (N, 5) ground-truth boxes.

        Returns:
            Scalar loss.
        """
        loss = self.loss(
            pred.float(), target.float(), _average_per_box(weight), reduction_override="none",
            pred_decode=pred_boxes.float(), targets_decode=target_boxes.float(),
        )  # fmt: skip
        return self.loss_weight * loss.sum() / avg_factor


def _average_per_box(weight: Tensor | None) -> Tensor | None:
    """Average weights (N, 5) over each row to (N,); return weights (N,) and None unchanged."""
    return weight.mean(1) if weight is not None and weight.ndim == 2 else weight
