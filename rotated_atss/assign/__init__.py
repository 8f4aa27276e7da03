"""Assign ground-truth boxes to priors (label assignment), with functions on plain tensors.

Boxes are (N, 5) ``cx, cy, w, h, angle`` or (N, 4) ``x1, y1, x2, y2``, in pixels and radians.

Assignment strategies. Each returns, per prior, the index of the assigned ground-truth box (``gt_index``) and the IoU of
the prior with this box:

- :func:`atss_assign`, :func:`atss_assign_batch`: ATSS for an image, or for a batch of images with the same priors.
- :func:`max_iou_assign`: IoU thresholds, as in RetinaNet. Apply :func:`ignore_outside_gt` to the result to ignore
  positives whose center lies outside their ground-truth box.
- :func:`topk_assign`: the k priors with the highest IoU per ground-truth box, except those whose center lies outside
  the box.
- :func:`ssc_assign`: the spatial and scale constraints of FCOS, applied to all priors.
- :func:`center_sampling_assign`: the same constraints, applied only to the nearest priors per level.

Values of ``gt_index`` for unassigned priors: :data:`BACKGROUND`, :data:`IGNORE`.

Steps of ATSS: :func:`nearest_priors`, :func:`nearest_priors_on_grids`, :func:`adaptive_threshold`,
:func:`count_candidates_above_threshold`. A prior center counts as inside a ground-truth box if it is more than
:data:`CENTER_MARGIN_PX` pixels from every side.

Generation of priors: :func:`square_priors`. Regular grids of prior centers: :class:`Grid`, :class:`PriorLayout`,
:func:`find_grids`, :func:`count_priors_per_location`.
"""

from rotated_atss.assign.atss import atss_assign, atss_assign_batch
from rotated_atss.assign.box_formats import CENTER_MARGIN_PX
from rotated_atss.assign.candidate_selection import nearest_priors, nearest_priors_on_grids
from rotated_atss.assign.conflicts import BACKGROUND, IGNORE
from rotated_atss.assign.grid_detection import count_priors_per_location, find_grids
from rotated_atss.assign.grids import Grid
from rotated_atss.assign.max_iou import ignore_outside_gt, max_iou_assign
from rotated_atss.assign.prior_layout import PriorLayout
from rotated_atss.assign.square_priors import square_priors
from rotated_atss.assign.ssc import center_sampling_assign, ssc_assign
from rotated_atss.assign.threshold import adaptive_threshold, count_candidates_above_threshold
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
    "square_priors",
    "ssc_assign",
    "topk_assign",
]
