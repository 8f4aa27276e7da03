"""Create matplotlib figures and encode them as PNG, without a display and without pyplot's global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colors of data series that color-blind readers can distinguish.

This is the palette of Okabe and Ito (jfly.uni-koeln.de/color/) without yellow.
"""


def new_figure(**options: Any) -> Figure:
    """Create an empty figure.

    Args:
        options: Arguments of matplotlib's ``Figure``, such as ``figsize`` in inches.

    Example:
        >>> new_figure(figsize=(4, 3)).get_size_inches().tolist()  # doctest: +SKIP
        [4.0, 3.0]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(**options)
    FigureCanvasAgg(figure)  # sets figure.canvas to a canvas that renders without a display
    return figure


def to_png(figure: Figure, dpi: int = 100) -> bytes:
    r"""Encode a figure as PNG.

    Args:
        figure: A figure of :func:`new_figure`.
        dpi: Pixels per inch.

    Example:
        >>> to_png(new_figure())[:4]  # doctest: +SKIP
        b'\x89PNG'
    """
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    return png.getvalue()


def mark_empty(ax: Axes, color: str = "black") -> None:
    """Write "none" into the middle of axes that have no data.

    Example::

        mark_empty(ax)
    """
    ax.text(0.5, 0.5, "none", transform=ax.transAxes, ha="center", va="center", color=color)
