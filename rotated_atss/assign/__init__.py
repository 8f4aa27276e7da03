"""Which prior learns which object: plain functions on tensors, for oriented (N, 5) and horizontal (N, 4) boxes."""

from rotated_atss.assign.atss import (
    adaptive_threshold,
    atss_assign,
    atss_assign_batch,
    candidates_above_threshold,
    match_candidates,
)
from rotated_atss.assign.box_forms import CENTER_MARGIN_PX
from rotated_atss.assign.candidates import Layout, find_grids, nearest_on_grids, nearest_priors
from rotated_atss.assign.grids import Grid
from rotated_atss.assign.max_iou import max_iou_assign
from rotated_atss.assign.resolution import BACKGROUND, IGNORE
from rotated_atss.assign.strategies import center_sampling_assign, drop_outside, ssc_assign, topk_assign

__all__ = [
    "BACKGROUND",
    "CENTER_MARGIN_PX",
    "IGNORE",
    "Grid",
    "Layout",
    "adaptive_threshold",
    "atss_assign",
    "atss_assign_batch",
    "candidates_above_threshold",
    "center_sampling_assign",
    "drop_outside",
    "find_grids",
    "match_candidates",
    "max_iou_assign",
    "nearest_on_grids",
    "nearest_priors",
    "ssc_assign",
    "topk_assign",
]
