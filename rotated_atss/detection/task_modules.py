"""Priors, coder and assigner as MMDetection's registries know them; the arithmetic lives in the plain modules."""

from __future__ import annotations

import torch
from mmdet.models.task_modules import AssignResult, BaseAssigner, BaseBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.assign import atss_assign
from rotated_atss.boxes import CODINGS, check_coding, circumscribe, hbb_to_obb
from rotated_atss.coder import decode_deltas, encode_deltas


@TASK_UTILS.register_module()
class OrientedAnchorGenerator(AnchorGenerator):
    """MMDetection's anchors as oriented boxes of one angle.

    Args:
        angle: Angle of every prior in radians, in every coding.
        kwargs: As :class:`AnchorGenerator`. With ``octave_base_scale=4, scales_per_octave=1, ratios=[1.0]`` a
            location at (column, row) of a level has one square prior of side 4 x stride centred on (column x stride,
            row x stride).
    """

    def __init__(self, *args, angle: float = 0.0, **kwargs) -> None:
        self.angle = float(angle)
        super().__init__(*args, **kwargs)

    def single_level_grid_priors(self, *args, **kwargs) -> Tensor:
        priors = hbb_to_obb(get_box_tensor(super().single_level_grid_priors(*args, **kwargs)))
        priors[:, 4] = self.angle
        return priors


@TASK_UTILS.register_module()
class OrientedDeltaCoder(BaseBBoxCoder):
    """Deltas of oriented boxes (:mod:`rotated_atss.coder`).

    Args:
        coding: ``oc``, ``le90`` or ``le135``.
        edge_swap: Regress the side nearest to the prior's width. Needs a long-edge coding.
        proj_xy: Centre offsets in the prior's axes.
        norm_factor: Divide the angle's delta by ``norm_factor * pi``.
        target_means: Subtracted from the deltas.
        target_stds: Divide the deltas.
    """

    encode_size = 5

    def __init__(
        self,
        coding: str,
        *,
        edge_swap: bool = False,
        proj_xy: bool = False,
        norm_factor: float | None = None,
        target_means: tuple[float, ...] = (0.0,) * 5,
        target_stds: tuple[float, ...] = (1.0,) * 5,
    ) -> None:
        super().__init__()
        if edge_swap and check_coding(coding) == "oc":
            raise ValueError(
                "edge_swap needs a long-edge coding (le90 or le135): in oc the order of the sides is the angle's"
            )
        self.coding = check_coding(coding)
        self.edge_swap, self.proj_xy, self.norm_factor = edge_swap, proj_xy, norm_factor
        self.means, self.stds = tuple(target_means), tuple(target_stds)

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        deltas = encode_deltas(
            get_box_tensor(bboxes), get_box_tensor(gt_bboxes), self.coding,
            edge_swap=self.edge_swap, proj_xy=self.proj_xy, norm_factor=self.norm_factor,
        )  # fmt: skip
        return (deltas - deltas.new_tensor(self.means)) / deltas.new_tensor(self.stds)

    def decode(self, bboxes: Tensor, pred_bboxes: Tensor) -> Tensor:
        if pred_bboxes.dtype != torch.float64:
            pred_bboxes = pred_bboxes.float()
        deltas = pred_bboxes * pred_bboxes.new_tensor(self.stds) + pred_bboxes.new_tensor(self.means)
        return decode_deltas(
            get_box_tensor(bboxes), deltas, self.coding, proj_xy=self.proj_xy, norm_factor=self.norm_factor
        )


@TASK_UTILS.register_module()
class RotatedATSSAssigner(BaseAssigner):
    """ATSS on oriented boxes, or on the horizontal boxes that circumscribe them.

    Args:
        topk: Candidate locations a level.
        assign_by_circumhbbox: None or False assigns by the true oriented box. True, or the name of a coding as older
            configs have it, assigns by the circumscribed horizontal box: IoU, threshold and centre test all use it
            (then about a third of the positives lie outside the oriented box, as in the published hbb models). What
            is regressed is the oriented box either way.
        priors_per_location: Priors that share a centre.
        ignore_iof_threshold: A prior of which more than this share lies in an ignored object is left out.
    """

    def __init__(
        self,
        topk: int = 9,
        *,
        assign_by_circumhbbox: bool | str | None = None,
        priors_per_location: int = 1,
        ignore_iof_threshold: float = 0.5,
    ) -> None:
        if isinstance(assign_by_circumhbbox, str) and assign_by_circumhbbox not in CODINGS:
            raise ValueError(
                f"assign_by_circumhbbox is None, a bool or one of {', '.join(CODINGS)}, not {assign_by_circumhbbox!r}"
            )
        self.topk = topk
        self.by_hbb = bool(assign_by_circumhbbox)
        self.priors_per_location = priors_per_location
        self.ignore_iof_threshold = ignore_iof_threshold

    def match(
        self, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor, ignored_boxes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As :func:`rotated_atss.assign.atss_assign`, by the box that this assigner is set to."""
        if self.by_hbb:
            gt_boxes = circumscribe(gt_boxes)
        return atss_assign(
            priors, level_sizes, gt_boxes, topk=self.topk, priors_per_location=self.priors_per_location,
            ignored_boxes=ignored_boxes, ignore_iof_threshold=self.ignore_iof_threshold,
        )  # fmt: skip

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
        matched, iou = self.match(priors, num_level_priors, gt_boxes, ignored)
        taken = matched >= 0
        labels = matched.new_full(matched.shape, -1)
        labels[taken] = gt_instances.labels[matched[taken]]
        gt_inds = torch.where(taken, matched + 1, torch.where(matched == -1, 0, -1))
        return AssignResult(len(gt_boxes), gt_inds, iou, labels=labels)
