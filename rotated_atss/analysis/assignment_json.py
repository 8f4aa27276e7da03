"""Convert the trace of a label assignment, the values of each step of ATSS for one object, to JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rotated_atss.analysis.assignment_trace import AssignmentTrace
from rotated_atss.io.json_values import replace_nonfinite


def trace_to_json(trace: AssignmentTrace, strides: Sequence[float]) -> dict[str, Any]:
    """Convert a trace to values for JSON.

    The result has the statistics of the object, and under ``candidates`` a list with one entry per candidate.

    Args:
        trace: Trace of one ground-truth box.
        strides: Stride of each level in pixels.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.assignment_trace import trace_atss
        >>> priors = torch.tensor([[x, 4, 16, 16, 0] for x in (4.0, 12, 20, 28)])
        >>> trace = trace_atss(priors, [4], torch.tensor([[13.0, 4, 16, 12, 0.1]]), 0, topk=1)
        >>> trace_to_json(trace, [8])["candidates"][0]["outcome"]
        'positive'
    """
    rows = zip(
        trace.prior_index.tolist(), trace.level.tolist(), trace.prior_centers.tolist(), trace.distance.tolist(),
        trace.iou.tolist(), trace.above_threshold.tolist(), trace.center_inside.tolist(), trace.assigned_to.tolist(),
        trace.outcomes(),
    )  # fmt: skip
    content = {
        "object": trace.gt_index,
        "topk": trace.topk,
        "priors_per_location": trace.priors_per_location,
        "levels": trace.num_levels,
        "mean": trace.mean,
        "standard_deviation": trace.deviation,
        "threshold": trace.threshold,
        "positives": int(trace.is_positive.sum()),
        "candidates": [
            {
                "prior": prior, "level": level, "stride": strides[level], "center": center,
                "distance": distance, "iou": iou, "above_threshold": above, "center_inside": inside,
                "assigned_to": assigned_to if assigned_to >= 0 else None,  # negative: assigned to no object
                "outcome": outcome,
            }
            for prior, level, center, distance, iou, above, inside, assigned_to, outcome in rows
        ],
    }  # fmt: skip
    return replace_nonfinite(content)
