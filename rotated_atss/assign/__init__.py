"""Which prior learns which object: plain functions on tensors, for oriented (N, 5) and horizontal (N, 4) boxes."""

from rotated_atss.assign.atss import (
    adaptive_threshold,
    atss_assign,
    atss_assign_batch,
    count_candidates_above_threshold,
    match_candidates,
)
from rotated_atss.assign.box_forms import CENTER_MARGIN_PX
from rotated_atss.assign.candidates import PriorLayout, find_grids, nearest_priors, nearest_priors_on_grids
from rotated_atss.assign.grids import Grid
from rotated_atss.assign.max_iou import max_iou_assign
from rotated_atss.assign.resolution import BACKGROUND, IGNORE
from rotated_atss.assign.strategies import center_sampling_assign, ignore_outside_gt, ssc_assign, topk_assign

__all__ = [
    "BACKGROUND",
    "CENTER_MARGIN_PX",
    "IGNORE",
    "Grid",
    "PriorLayout",
    "adaptive_threshold",
    "atss_assign",
    "atss_assign_batch",
    "count_candidates_above_threshold",
    "center_sampling_assign",
    "ignore_outside_gt",
    "find_grids",
    "match_candidates",
    "max_iou_assign",
    "nearest_priors_on_grids",
    "nearest_priors",
    "ssc_assign",
    "topk_assign",
]
