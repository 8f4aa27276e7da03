"""Plot the positives of all objects of an image: a point on the image at the center of each positive prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from rotated_atss.analysis.plotting import new_figure, to_png
from rotated_atss.errors import count_of
from rotated_atss.io.png import Image
from rotated_atss.visualization.level_style import level_diameter, plot_outline, plot_points, show_window
from rotated_atss.visualization.text_boxes import ascii_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_DPI = 100  # pixels per inch
_LEGEND_INCHES = 3.3  # width of the legend, which is to the right of the image
_TITLE_INCHES = 0.45  # height of the title, which is above the image
_MIN_HEIGHT_INCHES = 4.2  # height of the picture without the title; the legend needs this height
_MIN_SIDE_PX = 1280  # images whose longer side is smaller are enlarged to this size
_MAX_SIDE_PX = 1800  # images whose longer side is larger are reduced to this size
_MAX_NUMBERED = 150  # with more objects, no object is numbered, since the numbers would hide the points
_NO_POSITIVE_COLOR = "#ff2d2d"  # red outline of an object without positives
_IGNORED_COLOR = "0.65"  # gray outline of an ignored object; matplotlib reads a number in a string as a gray level


def plot_assignment(
    image_bgr: Image,
    polygons: Any,
    points: Sequence[NDArray[Any]],
    positives: Sequence[int],
    strides: Sequence[int],
    *,
    ignored: Any = (),
    title: str = "",
) -> bytes:
    r"""Plot the positives of an image as points; each level has its own color, marker and size.

    Args:
        image_bgr: (H, W, 3) uint8, BGR, at the input size of the network.
        polygons: (G, 4, 2) array, corners of the objects in pixels of the image.
        points: Centers of the positives of each level in pixels, one (N, 2) array per level.
        positives: (G,) number of positives per object.
        strides: Stride of each level in pixels.
        ignored: (I, 4, 2) array, corners of ignored objects in pixels.
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
    longer_side = max(height, width)
    scale = min(max(longer_side, _MIN_SIDE_PX), _MAX_SIDE_PX) / longer_side
    image_inches = width * scale / _DPI, height * scale / _DPI
    figure_inches = image_inches[0] + _LEGEND_INCHES, max(image_inches[1], _MIN_HEIGHT_INCHES) + _TITLE_INCHES
    figure = new_figure(figsize=figure_inches, dpi=_DPI)
    # the image is directly below the title; position and size are fractions of the figure
    bottom = 1 - (image_inches[1] + _TITLE_INCHES) / figure_inches[1]
    ax = figure.add_axes((0, bottom, image_inches[0] / figure_inches[0], image_inches[1] / figure_inches[1]))
    show_window(ax, image_bgr, (0, 0, width, height))
    for polygon in ignored:
        plot_outline(ax, polygon, color=_IGNORED_COLOR, width=1.0, dashed=True)
    for polygon, count in zip(polygons, positives):
        plot_outline(ax, polygon, color="white" if count else _NO_POSITIVE_COLOR, width=1.0 if count else 1.8)
    if len(polygons) <= _MAX_NUMBERED:
        for number, polygon in enumerate(polygons):
            _write_number(ax, polygon, number, (width, height))
    finest_stride_pt = scale * strides[0] * 72 / _DPI  # matplotlib measures markers in points, 1/72 inch each
    for level, (xy, stride) in enumerate(zip(points, strides)):
        label = f"stride {stride}: {count_of(len(xy), 'positive')}"
        plot_points(ax, xy, level, _marker_diameter_pt(level, finest_stride_pt), label=label)
    num_without = sum(not count for count in positives)
    _add_legend(figure, ax, figure_inches, len(positives), num_without, len(ignored))
    title_y = 1 - 0.5 * _TITLE_INCHES / figure_inches[1]
    figure.text(0.005, title_y, ascii_text(title), fontsize=12, va="center", parse_math=False)
    return to_png(figure, _DPI)


def _write_number(ax: Axes, polygon: NDArray[Any], number: int, image_wh: tuple[int, int]) -> None:
    """Write the number of an object at its upper right corner, or inside the image if the corner is outside."""
    # The upper right corner has a large x and, because y points down, a small y.
    corner = polygon[(polygon[:, 0] - polygon[:, 1]).argmax()]
    # margins of 1.5% of the image, so that a digit at the border is visible
    x = min(max(corner[0], 0), 0.985 * image_wh[0])
    y = min(max(corner[1], 0.015 * image_wh[1]), image_wh[1])
    background = dict(boxstyle="square,pad=0.1", facecolor="white", edgecolor="none", alpha=0.8)
    ax.text(x, y, str(number), fontsize=8, ha="left", va="bottom", bbox=background, zorder=8, clip_on=True)


def _marker_diameter_pt(level: int, finest_stride_pt: float) -> float:
    """Return the diameter of the markers of a level, in points of 1/72 inch.

    On the finest level, the diameter is 60% of the stride, so that markers do not overlap, but at least 2 and at most 6
    points.
    """
    return min(6.0, max(2.0, 0.6 * finest_stride_pt)) * level_diameter(level)


def _add_legend(
    figure: Figure,
    ax: Axes,
    figure_inches: tuple[float, float],
    num_objects: int,
    num_without: int,
    num_ignored: int,
) -> None:
    """Add the legend to the right of the picture: levels with their counts, then outlines with their counts."""
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    visible_gray = "0.4"  # white outlines are gray in the legend, because its background is white
    with_positives = count_of(num_objects - num_without, "object") + " with positives (white)"
    # Each entry is (color, line style, label).
    outlines: list[tuple[str, Literal["-", "--"], str]] = [(visible_gray, "-", with_positives)]
    if num_without:
        outlines.append((_NO_POSITIVE_COLOR, "-", count_of(num_without, "object") + " without positives"))
    if num_ignored:
        outlines.append((_IGNORED_COLOR, "--", count_of(num_ignored, "ignored object")))
    for color, style, label in outlines:
        handles.append(Line2D([], [], color=color, linestyle=style, linewidth=2))
        labels.append(label)
    upper_left = (1 - (_LEGEND_INCHES - 0.12) / figure_inches[0], 1 - _TITLE_INCHES / figure_inches[1])
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=upper_left, fontsize=11, frameon=False, labelspacing=1.0,
        borderaxespad=0, title="centers of the positive priors", title_fontsize=11, alignment="left",
    )  # fmt: skip
