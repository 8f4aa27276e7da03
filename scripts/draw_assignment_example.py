"""Draw docs/images/assignment_example.png: the three steps of ATSS for a ship of a synthetic scene."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from rotated_atss.analysis.assignment_trace import CENTER_OUTSIDE, POSITIVE, AssignmentTrace, trace_atss
from rotated_atss.assign import square_priors
from rotated_atss.assign.square_priors import STRIDES_PX
from rotated_atss.ops.boxes import obb_to_corners, poly_to_obb
from rotated_atss.synthetic import render_scene
from rotated_atss.visualization.assignment_object import plot_ious
from rotated_atss.visualization.level_style import (
    level_color,
    level_diameter,
    level_marker,
    plot_outline,
    plot_points,
    show_window,
)

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "assignment_example.png"
SEED, INDEX, SHIP = 1, 0, 139  # scene, and object in it
HALF_WINDOW = 84  # pixels around the ship
# Fixed thresholds of positives: RetinaNet 0.5 (Lin et al., arXiv 1708.02002, section 4), region proposals of Faster
# R-CNN 0.7 (Ren et al., arXiv 1506.01497, section 3.1.2).
FIXED_THRESHOLD = 0.5
WIDTH, HEIGHT, DPI = 12.6, 6.45, 100  # inches


def draw() -> Figure:
    """Draw the figure: candidates, threshold, positives."""
    scene = render_scene(SEED, INDEX)
    polygons = torch.tensor(np.array([obj.polygon for obj in scene.objects]).reshape(-1, 8))
    gt_boxes = poly_to_obb(polygons).float()
    priors, level_sizes, _ = square_priors(scene.image.shape[:2])
    trace = trace_atss(priors, level_sizes, gt_boxes, SHIP)
    corners = obb_to_corners(gt_boxes.double()).numpy()
    center = gt_boxes[SHIP, :2].tolist()
    window = (*(c - HALF_WINDOW for c in center), *(c + HALF_WINDOW for c in center))
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI)
    FigureCanvasAgg(figure)
    first, second, third = (
        figure.add_axes((left / WIDTH, 1.35 / HEIGHT, width / WIDTH, height / HEIGHT))
        for left, width, height in ((0.1, 3.85, 3.85), (4.95, 3.6, 3.65), (8.65, 3.85, 3.85))
    )
    _draw_anchors(first, scene.image, trace, priors, corners[SHIP], window)
    plot_ious(second, trace, STRIDES_PX, FIXED_THRESHOLD)
    second.axvline(FIXED_THRESHOLD, color="#b00020", linewidth=1.4)
    assert float(trace.iou.max()) < FIXED_THRESHOLD
    note = f"No anchor\nreaches a fixed\nthreshold: {FIXED_THRESHOLD} in\nRetinaNet, 0.7 in\nFaster R-CNN."
    second.text(FIXED_THRESHOLD - 0.012, 2.6, note, ha="right", color="#b00020", fontsize=11)
    second.set_xlabel("IoU of the 45 candidates with the ship", fontsize=12)
    _draw_positives(third, scene.image, trace, corners[SHIP], window)
    _add_titles(figure, trace)
    _add_legend(figure)
    return figure


def _draw_anchors(axis: Any, image: Any, trace: AssignmentTrace, priors: Any, polygon: Any, window: Any) -> None:
    """Draw the candidates of each level, and the nearest anchor of the three finest levels."""
    show_window(axis, image, window)
    plot_outline(axis, polygon, width=2.2)
    xy, levels = trace.prior_centers.double().numpy(), trace.level.numpy()
    for level in reversed(range(len(STRIDES_PX))):
        plot_points(axis, xy[levels == level], level, 6.5 * level_diameter(level), filled=False)
        nearest = trace.prior_index[levels == level][:1]
        if level < 3:
            plot_outline(axis, obb_to_corners(priors[nearest].double()).numpy()[0], color=level_color(level), width=1.2)


def _draw_positives(axis: Any, image: Any, trace: AssignmentTrace, polygon: Any, window: Any) -> None:
    """Draw the positives, and crossed the candidates whose centers lie outside the object."""
    show_window(axis, image, window)
    plot_outline(axis, polygon, width=2.2)
    xy, levels, outcomes = trace.prior_centers.double().numpy(), trace.level.numpy(), np.array(trace.outcomes())
    for level in reversed(range(len(STRIDES_PX))):
        size = 6.5 * level_diameter(level)
        outside = xy[(levels == level) & (outcomes == CENTER_OUTSIDE)]
        plot_points(axis, xy[(levels == level) & (outcomes == POSITIVE)], level, size)
        plot_points(axis, outside, level, size, filled=False)
        axis.plot(outside[:, 0], outside[:, 1], "x", color="white", markersize=size, markeredgewidth=1.8, zorder=8)


def _add_titles(figure: Figure, trace: AssignmentTrace) -> None:
    positives = int(trace.is_positive.sum())
    outside = trace.outcomes().count(CENTER_OUTSIDE)
    nearest = (
        "Per object and level, the k = 9 anchors\nwhose centers are nearest to that of the\nobject: 9 x 5 levels = 45."
    )
    numbers = f"= {trace.mean:.3f} + {trace.deviation:.3f} = {trace.threshold:.3f}"
    inside = f"IoU at least t and center inside\nthe object: {positives} anchors. Not the {outside} with\n"
    titles = (
        (0.1, "1  Candidates", nearest),
        (4.4, "2  Threshold of this object", f"t = mean + standard deviation of the 45\nIoUs {numbers}"),
        (8.65, "3  Positives", f"{inside}centers outside (x). All others: negative."),
    )
    for left, title, text in titles:
        figure.text(left / WIDTH, 6.25 / HEIGHT, title, fontsize=15, weight="bold", va="center")
        figure.text(left / WIDTH, 6.0 / HEIGHT, text, fontsize=12, va="top", linespacing=1.3)


def _add_legend(figure: Figure) -> None:
    style = dict(linestyle="none", markersize=10, markeredgecolor="black")
    handles = [
        Line2D([], [], marker=level_marker(level), color=level_color(level), label=f"{stride}", **style)
        for level, stride in enumerate(STRIDES_PX)
    ]
    hollow = dict(marker="o", linestyle="none", markersize=9, markeredgecolor="black", markeredgewidth=1.3)
    kinds = [
        Line2D([], [], markerfacecolor="none", label="hollow: candidate", **hollow),
        Line2D([], [], markerfacecolor="0.45", label="filled: positive", **hollow),
        Line2D([], [], color="0.5", linewidth=1.6, label="square: nearest anchor of a level, side 4 x stride"),
    ]
    for row, (left, entries) in enumerate(((0.315, handles), (0.005, kinds))):
        options = dict(ncols=len(entries), fontsize=12, frameon=False, columnspacing=1.6)
        place = (left, (0.36 - 0.36 * row) / HEIGHT)
        figure.add_artist(figure.legend(handles=entries, loc="lower left", bbox_to_anchor=place, **options))
    figure.text(0.012, 0.57 / HEIGHT, "centers of anchors, by stride of the level in px:", fontsize=12, va="center")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURE, help=f"default: {PICTURE.name} in docs/images")
    target = parser.parse_args().out
    figure = draw()
    figure.canvas.draw()  # type: ignore[attr-defined]
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    # a palette makes the file small, and this method keeps the rare colors of the levels
    Image.fromarray(pixels).quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.FLOYDSTEINBERG).save(
        target, optimize=True
    )
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
