"""Label assignment: functions on tensors that assign oriented (N, 5) or horizontal (N, 4) boxes to priors.

The arguments of :func:`atss_assign` and its result are shared by the other assigners.
"""

from rotated_atss.assign.atss import (
    adaptive_threshold,
    atss_assign,
    atss_assign_batch,
    count_candidates_above_threshold,
)
from rotated_atss.assign.box_formats import CENTER_MARGIN_PX
from rotated_atss.assign.candidates import nearest_priors, nearest_priors_on_grids
from rotated_atss.assign.conflicts import BACKGROUND, IGNORE
from rotated_atss.assign.grid_detection import count_priors_per_location, find_grids
from rotated_atss.assign.grids import Grid
from rotated_atss.assign.max_iou import ignore_outside_gt, max_iou_assign
from rotated_atss.assign.prior_layout import PriorLayout
from rotated_atss.assign.ssc import center_sampling_assign, ssc_assign
from rotated_atss.assign.topk import topk_assign

__all__ = [
    "BACKGROUND",
    "CENTER_MARGIN_PX",
    "IGNORE",
    "Grid",
    "PriorLayout",
    "adaptive_threshold",
    "atss_assign",
    "atss_assign_batch",
    "center_sampling_assign",
    "count_candidates_above_threshold",
    "count_priors_per_location",
    "find_grids",
    "ignore_outside_gt",
    "max_iou_assign",
    "nearest_priors",
    "nearest_priors_on_grids",
    "ssc_assign",
    "topk_assign",
]
