"""Assigners for MMDetection's registry; the computation is in :mod:`rotated_atss.assign`.

Each has ``assign_image`` on plain tensors, which the heads of this package call, and ``assign`` on MMDetection's
containers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules import AssignResult, BaseAssigner
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.assign import (
    IGNORE,
    Grid,
    PriorLayout,
    atss_assign,
    atss_assign_batch,
    center_sampling_assign,
    find_grids,
    ignore_outside_gt,
    max_iou_assign,
    ssc_assign,
    topk_assign,
)
from rotated_atss.assign.strategies import SCALE_RANGES_PX
from rotated_atss.assign.validation import check_counts, check_scale_ranges, check_thresholds
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import ANGLE_VERSIONS, obb_to_hbb

SAME_CENTER_PX = 1e-3  # priors of one location differ by roundings, of two by a stride


class TensorAssigner(BaseAssigner):
    """What the assigners share: the box to assign by, and MMDetection's interface on top of ``assign_image``.

    Args:
        assign_by_circumhbbox: None or False assigns by the box as it is. True, or the name of an angle version as older
            configs have it, assigns oriented boxes by the horizontal boxes that circumscribe them: priors, objects
            and ignored regions alike. What is regressed is the oriented box either way.
        priors_per_location: Priors that share a centre, each a candidate of its own; None counts them in the priors
            themselves, 1 takes as many candidates as there are for one, as MMDetection and mmrotate do.
        ignore_iof_threshold: A prior of which more than this share lies in an ignored object is left out; negative
            ignores nothing.
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
            check_counts(priors_per_location=priors_per_location)
        self.by_hbb = bool(assign_by_circumhbbox)
        self.priors_per_location = priors_per_location
        self.ignore_iof_threshold = ignore_iof_threshold

    def assign_image(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Objects of one image's priors, by the box that this assigner is set to.

        Args:
            priors: (A, 5) or (A, 4), level after level.
            level_sizes: Number of priors a level.
            gt_boxes: (G, 5) or (G, 4).
            gt_boxes_ignore: (I, 5) or (I, 4).

        Returns:
            ``gt_index`` (A,), -1 for none and -2 for ignored, and ``iou`` (A,), as the functions of
            :mod:`rotated_atss.assign`.
        """
        if self.by_hbb and priors.shape[1] == 5:
            priors, gt_boxes = obb_to_hbb(priors), obb_to_hbb(gt_boxes)
            gt_boxes_ignore = None if gt_boxes_ignore is None else obb_to_hbb(gt_boxes_ignore)
        return self._assign_boxes(priors, level_sizes, gt_boxes, gt_boxes_ignore)

    def _assign_boxes(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`assign_image`, by the boxes as they are."""
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
        """Objects of the priors of a batch.

        Args:
            priors: (A, 5) of all images, or (B, A, 5).
            level_sizes: Number of priors a level.
            gt_boxes_list: (G, 5) of each image.
            gt_boxes_ignore_list: (I, 5) of each image, or None.
            grids: The levels' cells.
            valid_hw: Of each image, the rows and columns of each level that lie on it; others are ignored.
            on_grids: Whether the priors' centres are those of the grids, too, not only their number.

        Returns:
            (B, A) int64 as ``gt_index`` of :meth:`assign_image`.
        """
        layout = PriorLayout.of(level_sizes, grids, valid_hw, len(gt_boxes_list))
        rows = []
        for number, (gt_boxes, regions) in enumerate(zip(gt_boxes_list, gt_boxes_ignore_list, strict=True)):
            own = priors if priors.ndim == 2 else priors[number]
            excluded = layout.excluded(number, None, own.device)
            rows.append(self._assign_valid(own, layout.level_sizes, gt_boxes, regions, excluded))
        return torch.stack(rows)

    def _assign_valid(
        self,
        priors: Tensor,
        level_sizes: list[int],
        gt_boxes: Tensor,
        gt_boxes_ignore: Tensor | None,
        excluded: Tensor | None,
    ) -> Tensor:
        """(A,) matches of those priors that are not ``excluded`` (A,); these are ignored."""
        if excluded is None:
            return self.assign_image(priors, level_sizes, gt_boxes, gt_boxes_ignore)[0]
        sizes = [int((~level).sum()) for level in excluded.split(level_sizes)]
        gt_index = torch.full(excluded.shape, IGNORE, dtype=torch.int64, device=priors.device)
        gt_index[~excluded] = self.assign_image(priors[~excluded], sizes, gt_boxes, gt_boxes_ignore)[0]
        return gt_index

    def num_priors_per_location(self, priors: Tensor) -> int:
        """Priors that share a centre: as set, or counted."""
        return count_priors_per_location(priors) if self.priors_per_location is None else self.priors_per_location

    def assign(
        self,
        pred_instances: InstanceData,
        num_level_priors: list[int],
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> AssignResult:
        """MMDetection's interface: ``gt_inds`` is 0 for background, -1 for ignored and index + 1 for an object."""
        priors, gt_boxes = get_box_tensor(pred_instances.priors), get_box_tensor(gt_instances.bboxes)
        ignored = None if gt_instances_ignore is None else get_box_tensor(gt_instances_ignore.bboxes)
        gt_index, iou = self.assign_image(priors, num_level_priors, gt_boxes, ignored)
        taken = gt_index >= 0
        labels = gt_index.new_full(gt_index.shape, -1)
        labels[taken] = gt_instances.labels[gt_index[taken]]
        gt_inds = torch.where(taken, gt_index + 1, torch.where(gt_index == -1, 0, -1))
        return AssignResult(len(gt_boxes), gt_inds, iou, labels=labels)


def count_priors_per_location(priors: Tensor) -> int:
    """How many of the first priors (A, 5) or (A, 4) share the first one's centre (1 without priors)."""
    centers = priors[:64, :2] if priors.shape[1] == 5 else (priors[:64, :2] + priors[:64, 2:]) / 2
    same = ((centers - centers[:1]).abs() < SAME_CENTER_PX).all(1)
    return max(1, int(same.long().cumprod(0).sum()))


@TASK_UTILS.register_module()
class RotatedATSSAssigner(TensorAssigner):
    """ATSS on oriented boxes, or on the horizontal boxes that circumscribe them.

    By circumscribed boxes, about a third of the positives lie outside the oriented box, as in the published hbb models.

    Args:
        topk: Candidate locations a level.
        kwargs: As :class:`TensorAssigner`.
    """

    def __init__(self, topk: int = 9, **kwargs) -> None:
        super().__init__(**kwargs)
        check_counts(topk=topk)
        self.topk = topk

    def max_num_pos(self, objects: int, levels: int, priors_per_location: int) -> int:
        """How many priors so many objects can get at most: their candidates."""
        return objects * levels * self.topk * (self.priors_per_location or priors_per_location)

    def _assign_boxes(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return atss_assign(
            priors, level_sizes, gt_boxes, topk=self.topk, priors_per_location=self.num_priors_per_location(priors),
            grids=find_grids(priors, level_sizes), gt_boxes_ignore=gt_boxes_ignore,
            ignore_iof_threshold=self.ignore_iof_threshold,
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
        """As :meth:`TensorAssigner.assign_batch`; on grids all images at once."""
        if not on_grids:
            return super().assign_batch(
                priors, level_sizes, gt_boxes_list, gt_boxes_ignore_list, grids, valid_hw, on_grids
            )
        located = self.num_priors_per_location(priors)
        if self.by_hbb and priors.shape[1] == 5:
            priors, gt_boxes_list = obb_to_hbb(priors), [obb_to_hbb(boxes) for boxes in gt_boxes_list]
            gt_boxes_ignore_list = [None if boxes is None else obb_to_hbb(boxes) for boxes in gt_boxes_ignore_list]
        return atss_assign_batch(
            priors, level_sizes, gt_boxes_list, topk=self.topk, priors_per_location=located, grids=grids,
            valid_hw=valid_hw, gt_boxes_ignore_list=gt_boxes_ignore_list,
            ignore_iof_threshold=self.ignore_iof_threshold,
        )[0]  # fmt: skip


@TASK_UTILS.register_module()
class HorizontalATSSAssigner(RotatedATSSAssigner):
    """ATSS on horizontal boxes for MMDetection's ``ATSSHead``: its ``ATSSAssigner`` without the priors x objects
    matrices.

    Args:
        topk: Candidate locations a level.
        ignore_iof_thr: As MMDetection's: negative, the default, leaves crowd regions as background.
        priors_per_location: As :class:`TensorAssigner`.
    """

    def __init__(self, topk: int = 9, *, ignore_iof_thr: float = -1, priors_per_location: int | None = 1) -> None:
        super().__init__(topk, ignore_iof_threshold=ignore_iof_thr, priors_per_location=priors_per_location)


@TASK_UTILS.register_module()
class RotatedMaxIoUAssigner(TensorAssigner):
    """Positives by IoU thresholds (:func:`rotated_atss.assign.max_iou_assign`), on oriented or horizontal boxes.

    Args:
        pos_iou_thr: From this best IoU on a prior is positive.
        neg_iou_thr: Below this best IoU a prior is background.
        min_pos_iou: Smallest best IoU of an object's low-quality match.
        match_low_quality: Whether every object takes the priors that overlap it most.
        gt_max_assign_all: All priors of equal best IoU, or one.
        assign_by_circumhbbox: As :class:`TensorAssigner`.
        ignore_iof_thr: A prior of which more than this share lies in an ignored object is left out; negative ignores
            nothing, MMDetection's default.
    """

    def __init__(
        self,
        pos_iou_thr: float = 0.5,
        neg_iou_thr: float = 0.4,
        *,
        min_pos_iou: float = 0.0,
        match_low_quality: bool = True,
        gt_max_assign_all: bool = True,
        assign_by_circumhbbox: bool | str | None = None,
        ignore_iof_thr: float = 0.5,
    ) -> None:
        super().__init__(assign_by_circumhbbox=assign_by_circumhbbox, ignore_iof_threshold=ignore_iof_thr)
        self.thresholds = dict(pos_iou=pos_iou_thr, neg_iou=neg_iou_thr, min_pos_iou=min_pos_iou)
        self.low_quality = dict(match_low_quality=match_low_quality, gt_max_assign_all=gt_max_assign_all)
        check_thresholds(**self.thresholds)

    def _assign_boxes(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return max_iou_assign(
            priors, gt_boxes, **self.thresholds, **self.low_quality,
            gt_boxes_ignore=gt_boxes_ignore, ignore_iof_threshold=self.ignore_iof_threshold,
        )  # fmt: skip

    def assign(  # type: ignore[override]  # MMDetection's heads without levels call it so
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: object,
    ) -> AssignResult:
        """As MMDetection's ``MaxIoUAssigner``."""
        return super().assign(pred_instances, [len(pred_instances.priors)], gt_instances, gt_instances_ignore)


STRATEGIES = ("atss", "ssc", "iou", "topk", "center_sampling")


@TASK_UTILS.register_module()
class SelectionAssigner(TensorAssigner):
    """Positives chosen in one of the ways that the ATSS paper compares (arXiv 1912.02424), on oriented or horizontal
    boxes; an option that ``strategy`` does not use changes nothing.

    Args:
        strategy: ``atss``; ``ssc``, inside the object and in the level's scale range, as FCOS; ``iou``, IoU thresholds,
            as RetinaNet; ``topk``, the k highest IoUs; ``center_sampling``, those of the k nearest per level that
            ``ssc`` takes, the paper's lite variant.
        topk: k of ``atss``, ``topk`` and ``center_sampling``.
        scale_ranges: Pixels that part the levels, for ``ssc`` and ``center_sampling``; one fewer than levels.
        pos_iou_thr: Thresholds of ``iou``, as the next.
        neg_iou_thr: See above.
        center_inside: With ``iou``, leave out positives whose centre lies outside their object, as the paper does in
            its comparison (a centerness branch needs it).
        kwargs: As :class:`TensorAssigner`, but priors of a location are counted unless given.

    Raises:
        ValueError: A value that makes no sense.
    """

    def __init__(
        self,
        strategy: str = "atss",
        *,
        topk: int = 9,
        scale_ranges: Sequence[float] = SCALE_RANGES_PX,
        pos_iou_thr: float = 0.5,
        neg_iou_thr: float = 0.4,
        center_inside: bool = True,
        priors_per_location: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(priors_per_location=priors_per_location, **kwargs)
        if strategy not in STRATEGIES:
            raise ValueError(f"unknown way {strategy!r} to choose positives: choose one of {', '.join(STRATEGIES)}")
        check_counts(topk=topk)
        check_scale_ranges(scale_ranges, len(scale_ranges) + 1)
        check_thresholds(pos_iou_thr, neg_iou_thr)
        self.strategy, self.topk, self.scale_ranges = strategy, topk, tuple(scale_ranges)
        self.thresholds = dict(pos_iou=pos_iou_thr, neg_iou=neg_iou_thr)
        self.center_inside = center_inside

    def _assign_boxes(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ignored = dict(gt_boxes_ignore=gt_boxes_ignore, ignore_iof_threshold=self.ignore_iof_threshold)
        if self.strategy == "iou":
            outcome = max_iou_assign(priors, gt_boxes, **self.thresholds, **ignored)
            return ignore_outside_gt(priors, gt_boxes, *outcome) if self.center_inside else outcome
        options = {}
        if self.strategy in ("ssc", "center_sampling"):
            self._check_levels(len(level_sizes))
            options["scale_ranges"] = self.scale_ranges
        if self.strategy != "ssc":
            options["topk"] = self.topk
        if self.strategy in ("atss", "center_sampling"):
            options["priors_per_location"] = self.num_priors_per_location(priors)
        if self.strategy == "atss":
            options["grids"] = find_grids(priors, level_sizes)
        assign = dict(atss=atss_assign, ssc=ssc_assign, topk=topk_assign, center_sampling=center_sampling_assign)
        return assign[self.strategy](priors, level_sizes, gt_boxes, **options, **ignored)

    def _check_levels(self, levels: int) -> None:
        """The levels are known only here, in training: one line rather than a traceback."""
        try:
            check_scale_ranges(self.scale_ranges, levels)
        except ValueError as error:
            raise UserError(str(error), hint="set model.train_cfg.assigner.scale_ranges") from None
