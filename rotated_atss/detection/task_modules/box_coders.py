"""Box coders registered with MMDetection: adapters over the coders in :mod:`rotated_atss.ops`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules import BaseBBoxCoder
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor
from torch import Tensor

from rotated_atss.ops.box_transforms import clamp_centers
from rotated_atss.ops.boxes import check_angle_version
from rotated_atss.ops.delta_coder import decode_deltas, encode_deltas
from rotated_atss.ops.distance_coder import decode_distances, encode_distances
from rotated_atss.ops.dtypes import upcast


@TASK_UTILS.register_module()
class OrientedDeltaCoder(BaseBBoxCoder):
    """Encode oriented boxes as deltas to priors (:mod:`rotated_atss.ops.delta_coder`).

    Args:
        angle_version: ``oc``, ``le90`` or ``le135``.
        edge_swap: Whether to swap the sides of ground-truth boxes. If the direction of a box's height axis is closer to
            the prior's width axis than the direction of the box's width axis, the width and height of the box are
            swapped, and its angle is rotated by 90 degrees. Requires a long-edge angle version (``le90`` or ``le135``).
        proj_xy: Measure center offsets along the axes of the prior.
        norm_factor: Divide the angle delta by ``norm_factor * pi``. If None, the angle delta stays in radians.
        target_means: Values that are subtracted from the five deltas.
        target_stds: Values by which the five deltas are then divided.

    Raises:
        ValueError: The angle version is unknown, or ``edge_swap`` is set with ``oc``.

    Example:
        >>> coder = OrientedDeltaCoder("le90")
        >>> prior, gt_box = torch.tensor([[50.0, 50, 40, 40, 0]]), torch.tensor([[58.0, 50, 40, 20, 0.5]])
        >>> coder.encode(prior, gt_box)
        tensor([[ 0.2000,  0.0000,  0.0000, -0.6931,  0.5000]])
        >>> torch.allclose(coder.decode(prior, coder.encode(prior, gt_box)), gt_box)
        True
    """

    encode_size = 5  # number of values that encode one box

    def __init__(
        self,
        angle_version: str,
        *,
        edge_swap: bool = False,
        proj_xy: bool = False,
        norm_factor: float | None = None,
        target_means: tuple[float, ...] = (0.0,) * 5,
        target_stds: tuple[float, ...] = (1.0,) * 5,
    ) -> None:
        super().__init__()
        self.angle_version = check_angle_version(angle_version)
        if edge_swap:
            _check_edge_swap(angle_version)
        self.edge_swap, self.proj_xy, self.norm_factor = edge_swap, proj_xy, norm_factor
        self.means, self.stds = tuple(target_means), tuple(target_stds)

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        """Encode (N, 5) boxes as (N, 5) normalized deltas to (N, 5) priors ``bboxes``."""
        deltas = encode_deltas(
            get_box_tensor(bboxes), get_box_tensor(gt_bboxes), self.angle_version,
            edge_swap=self.edge_swap, proj_xy=self.proj_xy, norm_factor=self.norm_factor,
        )  # fmt: skip
        return (deltas - deltas.new_tensor(self.means)) / deltas.new_tensor(self.stds)

    def decode(
        self,
        bboxes: Tensor,
        pred_bboxes: Tensor,
        max_shape: Sequence[int] | None = None,
        *,
        normalize: bool = True,
    ) -> Tensor:
        """Decode (N, 5) deltas.

        Args:
            bboxes: (N, 5) priors.
            pred_bboxes: (N, 5) deltas.
            max_shape: (height, width) of the image in pixels. If given, :func:`clamp_centers` clamps the centers to it.
            normalize: Whether to convert the boxes to the angle version.

        Returns:
            (N, 5) oriented boxes.
        """
        pred_bboxes = upcast(pred_bboxes)
        deltas = pred_bboxes * pred_bboxes.new_tensor(self.stds) + pred_bboxes.new_tensor(self.means)
        boxes = decode_deltas(
            get_box_tensor(bboxes), deltas, self.angle_version,
            proj_xy=self.proj_xy, norm_factor=self.norm_factor, normalize=normalize,
        )  # fmt: skip
        return boxes if max_shape is None else clamp_centers(boxes, boxes.new_tensor(max_shape[:2]))


@TASK_UTILS.register_module()
class PointDistanceCoder(BaseBBoxCoder):
    """Encode boxes as distances from the prior's center to the box sides (:mod:`rotated_atss.ops.distance_coder`).

    Horizontal boxes are ``x1, y1, x2, y2``. The distances are ``left, top, right, bottom`` in strides. The ATSS paper
    calls this regression from a point (arXiv 1912.02424, section 3).

    Args:
        angle_version: ``oc``, ``le90`` or ``le135`` for oriented boxes; None for horizontal boxes.
        edge_swap: See :func:`rotated_atss.ops.distance_coder.encode_distances`.
        anchor_scale: Width of a prior in strides (``octave_base_scale`` of the anchors). The stride is the width of the
            prior divided by this value.
        mean: Distance in strides to which a prediction of 0 is decoded, so that even the untrained network predicts
            boxes of a reasonable size. The official ATSS code sets the bias of the last layer instead.
        clip_border: Clip decoded horizontal boxes to the image if its size is given.
        use_box_type: Return horizontal boxes as MMDetection's ``HorizontalBoxes``.

    Raises:
        ValueError: The angle version is unknown, ``edge_swap`` is set without a long-edge angle version, or
            ``anchor_scale`` is not positive.

    Example:
        >>> coder = PointDistanceCoder(anchor_scale=4, mean=0)  # priors 32 px wide on a level of stride 8
        >>> prior, gt_box = torch.tensor([[34.0, 34, 66, 66]]), torch.tensor([[34.0, 42, 82, 58]])
        >>> coder.encode(prior, gt_box)
        tensor([[2., 1., 4., 1.]])
    """

    def __init__(
        self,
        angle_version: str | None = None,
        *,
        edge_swap: bool = False,
        anchor_scale: float = 8.0,
        mean: float = 4.0,
        clip_border: bool = True,
        use_box_type: bool = False,
    ) -> None:
        super().__init__(use_box_type=use_box_type)
        if anchor_scale <= 0:
            raise ValueError(f"anchor_scale must be positive, got {anchor_scale}")
        self.angle_version = None if angle_version is None else check_angle_version(angle_version)
        if edge_swap:
            _check_edge_swap(angle_version)
        self.edge_swap, self.anchor_scale, self.mean, self.clip_border = edge_swap, anchor_scale, mean, clip_border
        self.encode_size = 4 if angle_version is None else 5

    def _means(self, like: Tensor) -> Tensor:
        """Return ``mean`` for each distance and 0 for the angle, with dtype and device of ``like``."""
        return like.new_tensor((*[self.mean] * 4, 0.0)[: self.encode_size])

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        """Encode boxes as distances (N, 4) or, with the angle, (N, 5) from the centers of the priors ``bboxes``.

        The distances are in strides, minus ``mean``.
        """
        distances = encode_distances(
            get_box_tensor(bboxes), get_box_tensor(gt_bboxes), self.angle_version,
            edge_swap=self.edge_swap, anchor_scale=self.anchor_scale,
        )  # fmt: skip
        return distances - self._means(distances)

    def decode(
        self, bboxes: Tensor, pred_bboxes: Tensor, max_shape: Sequence[int] | None = None
    ) -> Tensor | HorizontalBoxes:
        """Decode distances ``pred_bboxes`` to boxes.

        Args:
            bboxes: (N, 4) or (N, 5) priors.
            pred_bboxes: (N, 4) or (N, 5) distances in strides, minus ``mean``.
            max_shape: (height, width) of the image in pixels, or None. Horizontal boxes are clipped to the image if
                ``clip_border`` is set. The centers of oriented boxes are clamped to the image by :func:`clamp_centers`.

        Returns:
            (N, 4) horizontal or (N, 5) oriented boxes.
        """
        pred_bboxes = upcast(pred_bboxes)
        distances = pred_bboxes + self._means(pred_bboxes)
        boxes = decode_distances(get_box_tensor(bboxes), distances, self.angle_version, anchor_scale=self.anchor_scale)
        if self.angle_version is not None:
            return boxes if max_shape is None else clamp_centers(boxes, boxes.new_tensor(max_shape[:2]))
        if self.clip_border and max_shape is not None:
            height, width = max_shape[:2]
            boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor((width, height, width, height)))
        return HorizontalBoxes(boxes) if self.use_box_type else boxes


def _check_edge_swap(angle_version: str | None) -> None:
    """Raise ``ValueError`` unless the angle version orders the sides by length."""
    if angle_version in (None, "oc"):
        raise ValueError(f"edge_swap needs a long-edge angle version, got {angle_version!r}. Use le90 or le135.")
