"""Format the result of a label assignment as text.

There are two views: a table of the objects with their positives, and the steps of ATSS for one object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from rotated_atss.analysis.assignment_trace import AssignmentTrace
from rotated_atss.errors import count_of


def positives_per_level(gt_index: Tensor, level_sizes: Sequence[int], num_gts: int) -> Tensor:
    """Count the positives of each ground-truth box on each level.

    Args:
        gt_index: (A,) result of an assigner: index of the ground-truth box of each prior, or a negative value. Priors
            are sorted by level.
        level_sizes: Number of priors of each of the L levels.
        num_gts: Number G of ground-truth boxes.

    Returns:
        (G, L) int64.

    Example:
        >>> import torch
        >>> gt_index = torch.tensor([0, -1, 0, 1])  # three priors on level 0, one prior on level 1
        >>> positives_per_level(gt_index, level_sizes=[3, 1], num_gts=2).tolist()
        [[2, 0], [0, 1]]
    """
    counts = gt_index.new_zeros(num_gts, len(level_sizes))
    for level, level_gt_index in enumerate(gt_index.split(list(level_sizes))):
        positives = level_gt_index[level_gt_index >= 0]
        counts[:, level] = positives.bincount(minlength=num_gts)
    return counts


def format_objects(boxes: Tensor, names: Sequence[str], counts: Tensor, strides: Sequence[float]) -> str:
    """Format a table of the objects of an image with their positives.

    Args:
        boxes: (G, 5) ``cx, cy, w, h, angle`` in pixels and radians, or (G, 4) ``x1, y1, x2, y2``.
        names: Class name of each box.
        counts: (G, L) positives per level.
        strides: Stride of each level in pixels.

    Returns:
        A header and one line per object: index, class, width and height, angle in degrees, number of positives in
        total and per level.

    Example:
        >>> import torch
        >>> boxes, counts = torch.tensor([[9.0, 9, 30, 10, 0.5]]), torch.tensor([[4, 2]])
        >>> print(format_objects(boxes, ["ship"], counts, [8, 16]))
        object  class      w x h, px   angle, deg  positives   stride 8     16
             0  ship         30 x 10         28.6          6          4      2
    """
    class_width = max([7, *(len(name) for name in names)])  # width of the class column in characters
    # the titles of the columns with the positives per level
    titles = f"{f'stride {strides[0]:g}':>9}" + "".join(f"{stride:>7g}" for stride in strides[1:])
    lines = [f"object  {'class':<{class_width}}  {'w x h, px':>11}  {'angle, deg':>11}  {'positives':>9}  {titles}"]
    for index, (name, box, level_counts) in enumerate(zip(names, boxes.tolist(), counts.tolist())):
        is_oriented = len(box) == 5
        box_w, box_h = box[2:4] if is_oriented else (box[2] - box[0], box[3] - box[1])
        size = f"{box_w:.0f} x {box_h:.0f}"
        angle = f"{math.degrees(box[4]):.1f}" if is_oriented else "-"
        per_level = f"{level_counts[0]:>9}" + "".join(f"{count:>7}" for count in level_counts[1:])
        lines.append(f"{index:>6}  {name:<{class_width}}  {size:>11}  {angle:>11}  {sum(level_counts):>9}  {per_level}")
    return "\n".join(lines)


def format_trace(trace: AssignmentTrace, strides: Sequence[float]) -> list[str]:
    r"""Format the values of each step of ATSS for one object.

    The line numbers are those of Algorithm 1 in the ATSS paper.

    Args:
        trace: Trace of the object.
        strides: Stride of each level in pixels.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.assignment_trace import trace_atss
        >>> priors = torch.tensor([[x, 4, 16, 16, 0] for x in (4.0, 12, 20, 28)])
        >>> trace = trace_atss(priors, [4], torch.tensor([[13.0, 4, 16, 12, 0.1]]), 0, topk=3)
        >>> print(*format_trace(trace, [8]), sep="\n")
        lines 3-6    3 candidates: the k = 3 nearest priors on each of L = 1 level
        line 7       IoU of the candidates with the object: 0.23 to 0.67
        line 8       mean m = 0.408
        line 9       standard deviation v = 0.235
        line 10      threshold t = m + v = 0.643
        lines 11-15  IoU >= t: 1 candidate; center inside: 1; lost to other objects: 0
        positives    1 (stride 8: 1)
    """
    if not trace.is_valid:
        return ["positives    0, because the object has no area"]
    num_above = int(trace.above_threshold.sum())
    num_inside = int((trace.above_threshold & trace.center_inside).sum())
    lowest, highest = 0.0, 0.0
    if len(trace.iou):
        lowest, highest = float(trace.iou.min()), float(trace.iou.max())
    levels = count_of(trace.num_levels, "level")  # for example "5 levels"
    nearest_priors = f"k = {trace.topk} nearest priors"
    if trace.priors_per_location > 1:
        nearest_priors = f"{trace.priors_per_location} priors of each of the k = {trace.topk} nearest locations"
    return [
        f"lines 3-6    {count_of(len(trace.iou), 'candidate')}: the {nearest_priors} on each of L = {levels}",
        f"line 7       IoU of the candidates with the object: {lowest:.2f} to {highest:.2f}",
        f"line 8       mean m = {trace.mean:.3f}",
        f"line 9       standard deviation v = {trace.deviation:.3f}",
        f"line 10      threshold t = m + v = {trace.threshold:.3f}",
        f"lines 11-15  IoU >= t: {count_of(num_above, 'candidate')}; center inside: {num_inside}; "
        f"lost to other objects: {int(trace.is_lost.sum())}",
        f"positives    {_format_positives(trace, strides)}",
    ]


def _format_positives(trace: AssignmentTrace, strides: Sequence[float]) -> str:
    counts = trace.level[trace.is_positive].bincount(minlength=len(strides)).tolist()
    per_level = ", ".join(f"stride {stride:g}: {count}" for stride, count in zip(strides, counts) if count)
    return f"{sum(counts)} ({per_level})" if per_level else "0"
