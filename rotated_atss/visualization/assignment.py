"""Positives of all objects of an image, drawn over the image as points per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rotated_atss.analysis.plotting import new_figure, to_png
from rotated_atss.errors import count_of
from rotated_atss.io.png import Image
from rotated_atss.visualization.level_style import level_diameter, plot_outline, plot_points, show_window
from rotated_atss.visualization.text_boxes import ascii_text

_LEGEND_INCHES, _TITLE_INCHES, _DPI = 3.3, 0.45, 100
_MIN_SIDE_PX, _MAX_SIDE_PX = 1280, 1800  # longer side in the picture; smaller images are enlarged, larger ones reduced
_MAX_NUMBERED = 150  # numbers of more objects hide the points
_NO_POSITIVE, _IGNORED = "#ff2d2d", "0.65"


def plot_assignment(
    image_bgr: Image,
    polygons: Any,
    points: Sequence[Any],
    positives: Sequence[int],
    strides: Sequence[int],
    *,
    ignored: Any = (),
    title: str = "",
) -> bytes:
    r"""Plot the positives of an image as points: color and marker per level, size by stride.

    Args:
        image_bgr: (H, W, 3) uint8, BGR, at the input size of the network.
        polygons: (G, 4, 2) array, corners of the objects in pixels of the image.
        points: (N, 2) array per level, centers of the positives in pixels.
        positives: Number of positives per object, (G,).
        strides: Stride of each level in pixels.
        ignored: (I, 4, 2) corners of ignored objects.
        title: Title of the picture.

    Returns:
        A PNG file.

    Example:
        >>> import numpy as np
        >>> box = np.array([[[8.0, 8], [40, 8], [40, 24], [8, 24]]])
        >>> image, points = np.zeros((64, 64, 3), np.uint8), [np.array([[16.0, 16]])]
        >>> plot_assignment(image, box, points, [1], [8])[:4]  # doctest: +SKIP
        b'\x89PNG'
    """
    height, width = image_bgr.shape[:2]
    scale = min(max(_MIN_SIDE_PX / max(height, width), 1.0), _MAX_SIDE_PX / max(height, width))
    size = width * scale / _DPI + _LEGEND_INCHES, max(height * scale / _DPI, 4.2) + _TITLE_INCHES
    figure = new_figure(figsize=size, dpi=_DPI)
    bottom = 1 - (height * scale / _DPI + _TITLE_INCHES) / size[1]
    axis = figure.add_axes((0, bottom, width * scale / _DPI / size[0], height * scale / _DPI / size[1]))
    show_window(axis, image_bgr, (0, 0, width, height))
    without = sum(not count for count in positives)
    for polygon in ignored:
        plot_outline(axis, polygon, color=_IGNORED, width=1.0, dashed=True)
    for polygon, count in zip(polygons, positives):
        plot_outline(axis, polygon, color="white" if count else _NO_POSITIVE, width=1.0 if count else 1.8)
    for number, polygon in enumerate(polygons if len(polygons) <= _MAX_NUMBERED else ()):
        _write_number(axis, polygon, number, (width, height))
    for level, (xy, stride) in enumerate(zip(points, strides)):
        label = f"stride {stride}: {count_of(len(xy), 'positive')}"
        plot_points(axis, xy, level, _diameter(level, scale * strides[0] * 72 / _DPI), label=label)
    _add_legend(figure, axis, size, len(positives), without, len(ignored))
    figure.text(0.005, 1 - 0.5 * _TITLE_INCHES / size[1], ascii_text(title), fontsize=12, va="center", parse_math=False)
    return to_png(figure, _DPI)


def _write_number(axis: Any, polygon: Any, number: int, image_wh: tuple[int, int]) -> None:
    """Write the number of an object at its upper right corner, moved into the image."""
    corner = polygon[(polygon[:, 0] - polygon[:, 1]).argmax()]
    x, y = min(max(corner[0], 0), 0.985 * image_wh[0]), min(max(corner[1], 0.015 * image_wh[1]), image_wh[1])
    box = dict(boxstyle="square,pad=0.1", facecolor="white", edgecolor="none", alpha=0.8)
    axis.text(x, y, str(number), fontsize=8, ha="left", va="bottom", bbox=box, zorder=8, clip_on=True)


def _diameter(level: int, finest_step: float) -> float:
    """Return the diameter of a level's markers, 1/72 inch: on the finest level 60% of the step of its cells, 2 to 6."""
    return min(6.0, max(2.0, 0.6 * finest_step)) * level_diameter(level)


def _add_legend(figure: Any, axis: Any, size: tuple[float, float], objects: int, without: int, ignored: int) -> None:
    """Add the legend to the right of the picture: levels with their counts, then the outlines that occur."""
    from matplotlib.lines import Line2D

    handles, labels = axis.get_legend_handles_labels()
    lines = [("0.4", "-", count_of(objects - without, "object") + " with positives (white)")]
    lines += [(_NO_POSITIVE, "-", count_of(without, "object") + " without positives")] if without else []
    lines += [(_IGNORED, "--", count_of(ignored, "ignored object"))] if ignored else []
    style: Any
    for color, style, label in lines:
        handles.append(Line2D([], [], color=color, linestyle=style, linewidth=2))
        labels.append(label)
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(1 - (_LEGEND_INCHES - 0.12) / size[0], 1 - 0.45 / size[1]),
        fontsize=11, frameon=False, labelspacing=1.0, borderaxespad=0, title="centers of the positive priors",
        title_fontsize=11, alignment="left",
    )  # fmt: skip
