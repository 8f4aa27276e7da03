"""Which prior learns which object: plain functions on tensors, for oriented (N, 5) and horizontal (N, 4) boxes."""

from rotated_atss.assign.atss import (
    adaptive_threshold,
    atss_assign,
    candidates_above_threshold,
    match_candidates,
    nearest_priors,
)
from rotated_atss.assign.forms import CENTER_MARGIN_PX
from rotated_atss.assign.max_iou import max_iou_assign
from rotated_atss.assign.outcome import IGNORED, NONE
from rotated_atss.assign.selection import center_sampling_assign, drop_outside, ssc_assign, topk_assign

__all__ = [
    "CENTER_MARGIN_PX",
    "IGNORED",
    "NONE",
    "adaptive_threshold",
    "atss_assign",
    "candidates_above_threshold",
    "center_sampling_assign",
    "drop_outside",
    "match_candidates",
    "max_iou_assign",
    "nearest_priors",
    "ssc_assign",
    "topk_assign",
]
