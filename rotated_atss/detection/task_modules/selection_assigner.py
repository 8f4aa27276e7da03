"""MMDetection assigner with a choice of strategies, to repeat the ablation studies of the ATSS paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmdet.registry import TASK_UTILS
from torch import Tensor

from rotated_atss.assign import (
    atss_assign,
    center_sampling_assign,
    find_grids,
    ignore_outside_gt,
    max_iou_assign,
    ssc_assign,
    topk_assign,
)
from rotated_atss.assign.max_iou import check_low_quality_rule
from rotated_atss.assign.ssc import REGRESS_LIMITS_PX
from rotated_atss.assign.validation import check_at_least_one, check_regress_limits, check_thresholds
from rotated_atss.detection.task_modules.tensor_assigner import TensorAssigner
from rotated_atss.errors import UserError

STRATEGIES = ("atss", "ssc", "iou", "topk", "center_sampling")


@TASK_UTILS.register_module()
class SelectionAssigner(TensorAssigner):
    """Assign ground-truth boxes with one of the strategies that the ATSS paper compares (arXiv 1912.02424, tables 2-7).

    Options that the strategy does not use have no effect.

    Args:
        strategy: ``atss``; ``ssc`` (the scale and spatial constraints of FCOS); ``iou`` (IoU thresholds, as in
            RetinaNet); ``topk`` (the priors of highest IoU); or ``center_sampling`` (the constraints of ``ssc``, but
            only for the ``topk`` nearest locations per level; this is the paper's lite variant of ATSS).
        topk: With ``atss`` and ``center_sampling``, the number of candidate locations per level; with ``topk``, the
            number of priors per box.
        regress_limits: With ``ssc`` and ``center_sampling``, the boundaries in pixels between the regression ranges of
            consecutive levels. There is one boundary fewer than levels.
        pos_iou_thr: With ``iou``, a prior is positive if its IoU is at least this threshold.
        neg_iou_thr: With ``iou``, a prior is negative if its IoU is below this threshold, unless it is a low-quality
            match.
        low_quality_rule: With ``iou``, which box gets a prior that is the low-quality match of several boxes:
            ``highest_iou``, the box of highest IoU with the prior, as in the official code; or ``last_match``, the box
            of highest index, as in MMDetection. :func:`rotated_atss.assign.max_iou_assign` has the exact rules.
        center_inside: With ``iou``, ignore positives whose center lies outside their ground-truth box. The paper's
            comparison does this; a centerness branch requires it.
        priors_per_location: As for :class:`TensorAssigner`, but the default is None. With None, all priors of the
            ``topk`` nearest locations are candidates.
        kwargs: As for :class:`TensorAssigner`.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> import torch
        >>> priors = torch.tensor([[x, 4, 16, 16, 0] for x in (4.0, 12, 20, 28)])
        >>> gt_index, _ = SelectionAssigner("topk", topk=2).assign_image(
        ...     priors, [4], torch.tensor([[13.0, 4, 20, 12, 0.1]])
        ... )
        >>> gt_index  # 0: assigned to the first box, -1: background
        tensor([-1,  0,  0, -1])
    """

    def __init__(
        self,
        strategy: str = "atss",
        *,
        topk: int = 9,
        regress_limits: Sequence[float] = REGRESS_LIMITS_PX,
        pos_iou_thr: float = 0.5,
        neg_iou_thr: float = 0.4,
        low_quality_rule: str = "highest_iou",
        center_inside: bool = True,
        priors_per_location: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(priors_per_location=priors_per_location, **kwargs)
        if strategy not in STRATEGIES:
            raise ValueError(f"unknown strategy {strategy!r}. Choose one of {', '.join(STRATEGIES)}.")
        check_at_least_one(topk=topk)
        # Only the values are checked here. The number of levels becomes known during training; see _check_num_levels.
        check_regress_limits(regress_limits, num_levels=len(regress_limits) + 1)
        check_thresholds(pos_iou_thr, neg_iou_thr)
        check_low_quality_rule(low_quality_rule)
        self.strategy, self.topk, self.regress_limits = strategy, topk, tuple(regress_limits)
        self.iou_options: dict[str, Any] = dict(
            pos_iou=pos_iou_thr, neg_iou=neg_iou_thr, low_quality_rule=low_quality_rule
        )
        self.center_inside = center_inside

    def _assign_boxes(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ignore_options: dict[str, Any] = dict(
            gt_boxes_ignore=gt_boxes_ignore, ignore_iof_threshold=self.ignore_iof_threshold
        )
        if self.strategy == "iou":
            gt_index, iou = max_iou_assign(priors, gt_boxes, **self.iou_options, **ignore_options)
            return ignore_outside_gt(priors, gt_boxes, gt_index, iou) if self.center_inside else (gt_index, iou)
        options: dict[str, Any] = {}
        if self.strategy in ("ssc", "center_sampling"):
            self._check_num_levels(len(level_sizes))
            options["regress_limits"] = self.regress_limits
        if self.strategy != "ssc":
            options["topk"] = self.topk
        if self.strategy in ("atss", "center_sampling"):
            options["priors_per_location"] = self.num_priors_per_location(priors)
        if self.strategy == "atss":
            options["grids"] = find_grids(priors, level_sizes)
        assign_functions: dict[str, Callable[..., tuple[Tensor, Tensor]]] = dict(
            atss=atss_assign, ssc=ssc_assign, topk=topk_assign, center_sampling=center_sampling_assign
        )
        return assign_functions[self.strategy](priors, level_sizes, gt_boxes, **options, **ignore_options)

    def _check_num_levels(self, num_levels: int) -> None:
        """Raise ``UserError`` unless ``regress_limits`` has one value fewer than the model has levels."""
        try:
            check_regress_limits(self.regress_limits, num_levels)
        except ValueError as error:
            raise UserError(str(error), hint="set model.train_cfg.assigner.regress_limits") from None
