"""Assigners by ATSS and by IoU thresholds, registered with MMDetection."""

from __future__ import annotations

from typing import Any

from mmdet.models.task_modules import AssignResult
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.assign import CENTER_MARGIN_PX, Grid, atss_assign, atss_assign_batch, find_grids, max_iou_assign
from rotated_atss.assign.max_iou import check_low_quality_rule
from rotated_atss.assign.validation import check_at_least_one, check_thresholds
from rotated_atss.detection.task_modules.tensor_assigner import TensorAssigner
from rotated_atss.ops.boxes import obb_to_hbb


@TASK_UTILS.register_module()
class RotatedATSSAssigner(TensorAssigner):
    """Assign with ATSS, by oriented boxes or by their circumscribed horizontal boxes.

    With circumscribed boxes, the centers of about a third of the positives lie outside the oriented box, as in the
    published hbb models.

    Args:
        topk: Candidate locations per level.
        center_margin: The center of a positive must lie inside its ground-truth box, more than this number of pixels
            away from every side.
        kwargs: Arguments of :class:`TensorAssigner`.

    Example:
        >>> import torch
        >>> priors = torch.tensor([[x, 4, 16, 16, 0] for x in (4.0, 12, 20, 28)])
        >>> RotatedATSSAssigner(topk=4).assign_image(priors, [4], torch.tensor([[13.0, 4, 16, 12, 0.1]]))[0]
        tensor([-1,  0, -1, -1])
    """

    def __init__(self, topk: int = 9, *, center_margin: float = CENTER_MARGIN_PX, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_at_least_one(topk=topk)
        self.topk, self.center_margin = topk, center_margin

    def max_num_pos(self, num_gts: int, num_levels: int, priors_per_location: int) -> int:
        """Return an upper bound of the number of positives: the number of candidates.

        The argument ``priors_per_location`` comes from the prior generator. It is used only if the assigner's own
        attribute ``priors_per_location`` is None.
        """
        return num_gts * num_levels * self.topk * (self.priors_per_location or priors_per_location)

    def _assign_boxes(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return atss_assign(
            priors, level_sizes, gt_boxes, topk=self.topk, priors_per_location=self.num_priors_per_location(priors),
            grids=find_grids(priors, level_sizes), gt_boxes_ignore=gt_boxes_ignore,
            ignore_iof_threshold=self.ignore_iof_threshold, center_margin=self.center_margin,
        )  # fmt: skip

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

        If ``on_grids`` is True, all images are processed at once, otherwise one by one. Arguments and result are the
        same as for :meth:`TensorAssigner.assign_batch`.
        """
        if not on_grids:
            return super().assign_batch(
                priors, level_sizes, gt_boxes_list, gt_boxes_ignore_list, grids, valid_hw, on_grids
            )
        priors_per_location = self.num_priors_per_location(priors)
        if self.assigns_by_hbb and priors.shape[1] == 5:
            priors, gt_boxes_list = obb_to_hbb(priors), [obb_to_hbb(boxes) for boxes in gt_boxes_list]
            gt_boxes_ignore_list = [None if boxes is None else obb_to_hbb(boxes) for boxes in gt_boxes_ignore_list]
        return atss_assign_batch(
            priors, level_sizes, gt_boxes_list, topk=self.topk, priors_per_location=priors_per_location, grids=grids,
            valid_hw=valid_hw, gt_boxes_ignore_list=gt_boxes_ignore_list,
            ignore_iof_threshold=self.ignore_iof_threshold, center_margin=self.center_margin,
        )[0]  # fmt: skip


@TASK_UTILS.register_module()
class HorizontalATSSAssigner(RotatedATSSAssigner):
    """Assign horizontal boxes with ATSS in MMDetection's ``ATSSHead``.

    This assigner replaces MMDetection's ``ATSSAssigner`` and builds no (priors x boxes) matrix.

    Args:
        topk: Candidate locations per level.
        ignore_iof_thr: IoF threshold of ignored boxes, such as COCO's crowd regions. With a negative value,
            MMDetection's default, ignored boxes have no effect, so that crowd regions are background.
        priors_per_location: See :class:`TensorAssigner`.
        center_margin: See :class:`RotatedATSSAssigner`.
    """

    def __init__(
        self,
        topk: int = 9,
        *,
        ignore_iof_thr: float = -1,
        priors_per_location: int | None = 1,
        center_margin: float = CENTER_MARGIN_PX,
    ) -> None:
        super().__init__(
            topk,
            ignore_iof_threshold=ignore_iof_thr,
            priors_per_location=priors_per_location,
            center_margin=center_margin,
        )


@TASK_UTILS.register_module()
class RotatedMaxIoUAssigner(TensorAssigner):
    """Assign oriented or horizontal boxes by IoU thresholds (:func:`rotated_atss.assign.max_iou_assign`).

    Args:
        pos_iou_thr: Lower IoU threshold of positives.
        neg_iou_thr: Upper IoU threshold of negatives.
        min_pos_iou: Lower IoU threshold of low-quality matches, see ``match_low_quality``.
        match_low_quality: Whether the prior that overlaps a ground-truth box with the highest IoU is positive even if
            this IoU is below the thresholds (low-quality match).
        gt_max_assign_all: Whether all priors that share the highest IoU with a ground-truth box are low-quality
            matches. If False, only the prior with the lowest index is one.
        low_quality_rule: Which box gets the prior of a low-quality match: ``last_match``, as in MMDetection, or
            ``highest_iou``; see :func:`rotated_atss.assign.max_iou_assign`.
        assign_by_circumhbbox: See :class:`TensorAssigner`.
        ignore_iof_thr: IoF threshold of ignored boxes. With a negative value, ignored boxes have no effect.
            MMDetection's default is -1.

    Raises:
        ValueError: A threshold is out of range or the rule is unknown.
    """

    def __init__(
        self,
        pos_iou_thr: float = 0.5,
        neg_iou_thr: float = 0.4,
        *,
        min_pos_iou: float = 0.0,
        match_low_quality: bool = True,
        gt_max_assign_all: bool = True,
        low_quality_rule: str = "last_match",
        assign_by_circumhbbox: bool | str | None = None,
        ignore_iof_thr: float = 0.5,
    ) -> None:
        super().__init__(assign_by_circumhbbox=assign_by_circumhbbox, ignore_iof_threshold=ignore_iof_thr)
        self.thresholds: dict[str, Any] = dict(pos_iou=pos_iou_thr, neg_iou=neg_iou_thr, min_pos_iou=min_pos_iou)
        self.low_quality_options: dict[str, Any] = dict(
            match_low_quality=match_low_quality,
            gt_max_assign_all=gt_max_assign_all,
            low_quality_rule=low_quality_rule,
        )
        check_low_quality_rule(low_quality_rule)
        check_thresholds(**self.thresholds)

    def _assign_boxes(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return max_iou_assign(
            priors, gt_boxes, **self.thresholds, **self.low_quality_options,
            gt_boxes_ignore=gt_boxes_ignore, ignore_iof_threshold=self.ignore_iof_threshold,
        )  # fmt: skip

    def assign(  # type: ignore[override]  # MMDetection's anchor heads pass no level sizes
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: object,
    ) -> AssignResult:
        """Assign with the interface of MMDetection's ``MaxIoUAssigner``."""
        # The max-IoU rule does not depend on the level of a prior, so all priors are passed as one level.
        return super().assign(pred_instances, [len(pred_instances.priors)], gt_instances, gt_instances_ignore)
