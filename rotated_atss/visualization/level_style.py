"""Color, marker and size of each level of the feature pyramid in plots of label assignment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from rotated_atss.io.png import Image

# These are the colors of Okabe and Ito, which analysis/plotting.py uses too. In this order, the colors of neighboring
# levels also differ in lightness.
LEVEL_COLORS = ("#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#009e73", "#d55e00", "#0072b2")
LEVEL_MARKERS = "osD^vPX"  # matplotlib's circle, square, diamond, triangles, plus and cross
# Marker diameters divided by the marker diameter of the finest level. They increase, so that the marker of a coarse
# level is visible around the markers of finer levels where their prior centers coincide.
_DIAMETERS = (1.0, 1.4, 1.7, 3.0, 4.0, 4.4, 5.2)
_HALO = "black"  # color around markers and lines
# An outline with a coordinate of at least this value is not dashed, because it can be so long that drawing its dashes
# takes seconds.
_MAX_DASHED_COORDINATE = 100_000


def level_color(level: int) -> str:
    """Return the color of a level, counted from 0. After the last color, the colors repeat.

    Example:
        >>> level_color(0), level_color(7)
        ('#e69f00', '#e69f00')
    """
    return LEVEL_COLORS[level % len(LEVEL_COLORS)]


def level_marker(level: int) -> str:
    """Return matplotlib's code of the marker of a level, counted from 0. After the last one, the markers repeat.

    Example:
        >>> level_marker(0), level_marker(1)
        ('o', 's')
    """
    return LEVEL_MARKERS[level % len(LEVEL_MARKERS)]


def level_diameter(level: int) -> float:
    """Return the marker diameter of a level divided by the marker diameter of the finest level.

    From a certain level on, all levels have the same diameter.

    Example:
        >>> level_diameter(0), level_diameter(9)
        (1.0, 5.2)
    """
    return _DIAMETERS[min(level, len(_DIAMETERS) - 1)]


def plot_points(
    ax: Axes, xy: NDArray[Any], level: int, diameter: float, *, filled: bool = True, label: str = ""
) -> None:
    """Plot points with the marker and the color of a level.

    Filled markers are filled with this color; hollow markers have an edge in this color.

    Args:
        ax: Axes of matplotlib.
        xy: (N, 2) array in the units of the axes.
        level: The level, counted from 0.
        diameter: Diameter of the markers in units of 1/72 inch.
        filled: Fill the markers; otherwise they are hollow.
        label: Text of the points in the legend; if empty, the legend does not show them.

    Example::

        plot_points(ax, centers[level == 0], 0, 6.0)
    """
    color, marker = level_color(level), level_marker(level)
    # filled markers are drawn over hollow ones and, among markers of the same kind, fine levels over coarse ones
    zorder = (6 if filled else 5) - level / 100
    style: dict[str, Any] = dict(linestyle="none", zorder=zorder)
    x, y = xy.reshape(-1, 2).T
    if filled:
        ax.plot(
            x, y, marker=marker, markersize=diameter, color=color, markeredgecolor=_HALO,
            markeredgewidth=min(0.8, diameter / 8), label=label or None, **style,
        )  # fmt: skip
        return
    hollow: dict[str, Any] = dict(marker=marker, markersize=diameter, markerfacecolor="none", **style)
    # A wider black edge below the colored edge makes the marker visible on light and dark images.
    ax.plot(x, y, markeredgecolor=_HALO, markeredgewidth=2.2, **hollow)
    ax.plot(x, y, markeredgecolor=color, markeredgewidth=1.2, label=label or None, **hollow)


def plot_outline(
    ax: Axes, polygon: NDArray[Any], *, color: str = "white", width: float = 1.6, dashed: bool = False
) -> None:
    """Plot the outline of a quadrilateral with a dark rim, so that it is visible on light and dark images.

    Args:
        ax: Axes of matplotlib.
        polygon: (4, 2) corners in the units of the axes.
        color: Color of the line.
        width: Line width in units of 1/72 inch.
        dashed: Dash the line, unless it reaches far beyond any image.

    Example::

        plot_outline(ax, polygon, color="white", dashed=True)
    """
    dashed = dashed and abs(polygon).max() < _MAX_DASHED_COORDINATE
    x, y = ([*polygon[:, axis], polygon[0, axis]] for axis in (0, 1))  # the first corner again closes the outline
    ax.plot(x, y, color=_HALO, linewidth=width + 1.4, alpha=0.75, solid_joinstyle="miter", zorder=2.9)
    ax.plot(x, y, color=color, linewidth=width, linestyle=(0, (5, 3)) if dashed else "-", zorder=3)


def show_window(ax: Axes, image_bgr: Image, window: Sequence[float]) -> None:
    """Show the part of an image that is inside a window; the axes are gray outside the image.

    Args:
        ax: Axes of matplotlib. Their units become pixels; (0, 0) is the upper-left corner of the first pixel.
        image_bgr: (H, W, 3) uint8, BGR.
        window: x_start, y_start, x_stop, y_stop in pixels; the window can extend beyond the image.

    Example::

        show_window(ax, image, (100, 100, 300, 300))
    """
    height, width = image_bgr.shape[:2]
    left, top = (max(0, int(edge)) for edge in window[:2])
    right, bottom = min(width, math.ceil(window[2])), min(height, math.ceil(window[3]))
    ax.set_facecolor("0.85")
    if right > left and bottom > top:
        part_rgb = image_bgr[top:bottom, left:right, ::-1]
        ax.imshow(part_rgb, extent=(left, right, bottom, top), interpolation="bilinear", aspect="equal", zorder=1)
    ax.set_xlim(window[0], window[2])
    ax.set_ylim(window[3], window[1])  # y points down
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
