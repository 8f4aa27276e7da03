"""Base class of the MMDetection assigners that call the functions of :mod:`rotated_atss.assign`."""

from __future__ import annotations

import torch
from mmdet.models.task_modules import AssignResult, BaseAssigner
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.assign import BACKGROUND, IGNORE, Grid, PriorLayout, count_priors_per_location
from rotated_atss.assign.validation import check_at_least_one
from rotated_atss.ops.boxes import ANGLE_VERSIONS, obb_to_hbb


class TensorAssigner(BaseAssigner):
    """Base class of assigners that work on plain tensors.

    A subclass implements :meth:`_assign_boxes`. The heads of this package call :meth:`assign_batch`; the heads of
    MMDetection call :meth:`assign`.

    Args:
        assign_by_circumhbbox: If True, the assignment compares the circumscribed horizontal boxes of priors,
            ground-truth boxes and ignored boxes. The name of an angle version, which older configs have here, is the
            same as True. If None or False, the assignment compares the oriented boxes. Regression targets are computed
            from the oriented boxes in both cases.
        priors_per_location: Number of priors that share a center. With None, it is counted in the priors. ATSS selects
            ``topk * priors_per_location`` candidates per level. With 1, it selects ``topk`` candidates even if several
            priors share a center, as in MMDetection and mmrotate.
        ignore_iof_threshold: A prior is ignored if more than this share of its area lies in an ignored box. A negative
            value disables this rule.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        *,
        assign_by_circumhbbox: bool | str | None = None,
        priors_per_location: int | None = 1,
        ignore_iof_threshold: float = 0.5,
    ) -> None:
        if isinstance(assign_by_circumhbbox, str) and assign_by_circumhbbox not in ANGLE_VERSIONS:
            raise ValueError(
                "assign_by_circumhbbox must be None, a bool or one of "
                f"{', '.join(ANGLE_VERSIONS)}, got {assign_by_circumhbbox!r}"
            )
        if priors_per_location is not None:
            check_at_least_one(priors_per_location=priors_per_location)
        self.assigns_by_hbb = bool(assign_by_circumhbbox)
        self.priors_per_location = priors_per_location
        self.ignore_iof_threshold = ignore_iof_threshold

    def assign_image(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Assign the ground-truth boxes of one image to priors.

        Args:
            priors: (A, 5) or (A, 4), level after level.
            level_sizes: Number of priors per level.
            gt_boxes: (G, 5) or (G, 4).
            gt_boxes_ignore: (I, 5) or (I, 4) ignored boxes.

        Returns:
            ``gt_index`` (A,) and ``iou`` (A,) as :func:`rotated_atss.assign.atss_assign`.
        """
        if self.assigns_by_hbb and priors.shape[1] == 5:
            priors, gt_boxes = obb_to_hbb(priors), obb_to_hbb(gt_boxes)
            gt_boxes_ignore = None if gt_boxes_ignore is None else obb_to_hbb(gt_boxes_ignore)
        return self._assign_boxes(priors, level_sizes, gt_boxes, gt_boxes_ignore)

    def _assign_boxes(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Implement :meth:`assign_image` for boxes that are already horizontal where required."""
        raise NotImplementedError

    def assign_batch(
        self,
        priors: Tensor,
        level_sizes: list[int],
        gt_boxes_list: list[Tensor],
        gt_boxes_ignore_list: list[Tensor | None],
        grids: list[Grid],
        valid_hw: list[list[tuple[int, int]]],
        on_grids: bool = True,
    ) -> Tensor:
        """Assign the ground-truth boxes of a batch to priors.

        Args:
            priors: (A, 5) shared by all images, or (B, A, 5).
            level_sizes: Number of priors per level.
            gt_boxes_list: (G, 5) boxes of each image.
            gt_boxes_ignore_list: (I, 5) ignored boxes of each image, or None.
            grids: Grid of each level.
            valid_hw: ``(rows, columns)`` of valid cells per image and level; priors of other cells are ignored.
            on_grids: Whether the prior centers are the cell centers of ``grids``. If False, an overriding method must
                read only the numbers of rows and columns from ``grids``. This implementation never reads more.

        Returns:
            (B, A) int64, ``gt_index`` of :meth:`assign_image` per image.
        """
        layout = PriorLayout.create(level_sizes, grids, valid_hw, len(gt_boxes_list))
        gt_indices = []
        for image, (gt_boxes, gt_boxes_ignore) in enumerate(zip(gt_boxes_list, gt_boxes_ignore_list, strict=True)):
            image_priors = priors if priors.ndim == 2 else priors[image]
            padding_mask = layout.ignore_mask_with_padding(image, ignore_mask=None, device=image_priors.device)
            gt_indices.append(
                self._assign_outside_padding(image_priors, layout.level_sizes, gt_boxes, gt_boxes_ignore, padding_mask)
            )
        return torch.stack(gt_indices)

    def _assign_outside_padding(
        self,
        priors: Tensor,
        level_sizes: list[int],
        gt_boxes: Tensor,
        gt_boxes_ignore: Tensor | None,
        padding_mask: Tensor | None,
    ) -> Tensor:
        """Assign only the priors outside the padding, and return ``gt_index`` (A,) with :data:`IGNORE` in the padding.

        ``padding_mask`` (A,) is True for priors in the padding. None means that no prior is in the padding.
        """
        if padding_mask is None:
            return self.assign_image(priors, level_sizes, gt_boxes, gt_boxes_ignore)[0]
        valid_mask = ~padding_mask
        valid_sizes = [int(level_mask.sum()) for level_mask in valid_mask.split(level_sizes)]
        gt_index = torch.full(valid_mask.shape, IGNORE, dtype=torch.int64, device=priors.device)
        gt_index[valid_mask] = self.assign_image(priors[valid_mask], valid_sizes, gt_boxes, gt_boxes_ignore)[0]
        return gt_index

    def num_priors_per_location(self, priors: Tensor) -> int:
        """Return the configured number of priors per location; if it is None, count it in ``priors`` (A, 5) or (A, 4).

        A location is a center that several priors may share.
        """
        return count_priors_per_location(priors) if self.priors_per_location is None else self.priors_per_location

    def assign(
        self,
        pred_instances: InstanceData,
        num_level_priors: list[int],
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> AssignResult:
        """Assign the ground-truth boxes of one image, with MMDetection's arguments and result.

        In the result, ``gt_inds`` is ``gt_index + 1`` for positives, 0 for background and -1 for ignored priors.
        """
        priors, gt_boxes = get_box_tensor(pred_instances.priors), get_box_tensor(gt_instances.bboxes)
        gt_boxes_ignore = None if gt_instances_ignore is None else get_box_tensor(gt_instances_ignore.bboxes)
        gt_index, iou = self.assign_image(priors, num_level_priors, gt_boxes, gt_boxes_ignore)
        positive = gt_index >= 0
        labels = gt_index.new_full(gt_index.shape, -1)
        # .to(): the labels of an image without objects are often a float tensor
        labels[positive] = gt_instances.labels[gt_index[positive]].to(labels)
        gt_inds = torch.where(positive, gt_index + 1, torch.where(gt_index == BACKGROUND, 0, -1))
        return AssignResult(len(gt_boxes), gt_inds, iou, labels=labels)
