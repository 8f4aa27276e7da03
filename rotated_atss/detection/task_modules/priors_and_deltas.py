"""Priors and coder as MMDetection's registries know them; the arithmetic lives in the plain modules."""

from __future__ import annotations

import torch
from mmdet.models.task_modules import BaseBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from rotated_atss.detection.task_modules.assigners import RotatedATSSAssigner
from rotated_atss.ops.boxes import check_angle_version, hbb_to_obb
from rotated_atss.ops.delta_coder import decode_deltas, encode_deltas

__all__ = ["OrientedAnchorGenerator", "OrientedDeltaCoder", "RotatedATSSAssigner"]


@TASK_UTILS.register_module()
class OrientedAnchorGenerator(AnchorGenerator):
    """MMDetection's anchors as oriented boxes of one angle.

    Args:
        angle: Angle of every prior in radians, in every angle version.
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
    """Deltas of oriented boxes (:mod:`rotated_atss.ops.delta_coder`).

    Args:
        angle_version: ``oc``, ``le90`` or ``le135``.
        edge_swap: Regress the side nearest to the prior's width. Needs a long-edge angle version.
        proj_xy: Centre offsets in the prior's axes.
        norm_factor: Divide the angle's delta by ``norm_factor * pi``.
        target_means: Subtracted from the deltas.
        target_stds: Divide the deltas.
    """

    encode_size = 5

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
        if edge_swap and check_angle_version(angle_version) == "oc":
            raise ValueError(
                "edge_swap needs a long-edge angle version (le90 or le135): in oc the order of the sides is the angle's"
            )
        self.angle_version = check_angle_version(angle_version)
        self.edge_swap, self.proj_xy, self.norm_factor = edge_swap, proj_xy, norm_factor
        self.means, self.stds = tuple(target_means), tuple(target_stds)

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        deltas = encode_deltas(
            get_box_tensor(bboxes), get_box_tensor(gt_bboxes), self.angle_version,
            edge_swap=self.edge_swap, proj_xy=self.proj_xy, norm_factor=self.norm_factor,
        )  # fmt: skip
        return (deltas - deltas.new_tensor(self.means)) / deltas.new_tensor(self.stds)

    def decode(self, bboxes: Tensor, pred_bboxes: Tensor, normalize: bool = True) -> Tensor:
        if pred_bboxes.dtype != torch.float64:
            pred_bboxes = pred_bboxes.float()
        deltas = pred_bboxes * pred_bboxes.new_tensor(self.stds) + pred_bboxes.new_tensor(self.means)
        return decode_deltas(
            get_box_tensor(bboxes), deltas, self.angle_version,
            proj_xy=self.proj_xy, norm_factor=self.norm_factor, normalize=normalize,
        )  # fmt: skip
