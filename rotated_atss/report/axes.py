"""Draw the axes of SVG charts, and map data values to SVG coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rotated_atss.report.html import Content, Html, element, render


@dataclass(frozen=True)
class Axes:
    """The plot area of an SVG chart, and the mapping of data values to SVG coordinates.

    Attributes:
        width: Width of the SVG, in SVG units.
        height: Height of the SVG, in SVG units.
        x_range: Values at the left and right edge of the plot area.
        y_range: Values at the bottom and top edge of the plot area.
        margins: Space for labels between the plot area and the edges of the SVG (left, top, right, bottom).
    """

    width: float = 480
    height: float = 340
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)
    margins: tuple[float, float, float, float] = (56, 10, 14, 46)

    # The methods below use fixed distances for labels, for example bottom + 40, which suit the font sizes in
    # report.css.

    @property
    def plot_area(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom coordinate of the plot area."""
        left, top, right, bottom = self.margins
        return left, top, self.width - right, self.height - bottom

    def x(self, value: float) -> float:
        """Return the SVG coordinate of a value on the x axis.

        Example:
            >>> Axes().x(0.5)
            261.0
        """
        left, _, right, _ = self.plot_area
        return left + (right - left) * (value - self.x_range[0]) / (self.x_range[1] - self.x_range[0])

    def y(self, value: float) -> float:
        """Return the SVG coordinate of a value on the y axis, which points up.

        Example:
            >>> Axes().y(0.0), Axes().y(1.0)
            (294.0, 10.0)
        """
        _, top, _, bottom = self.plot_area
        return bottom - (bottom - top) * (value - self.y_range[0]) / (self.y_range[1] - self.y_range[0])

    def path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """Return the ``d`` attribute of an SVG path through the points ``(xs[i], ys[i])``.

        Example:
            >>> Axes().path([0, 1], [1, 0.5])
            'M56 10L466 152'
        """
        if not len(xs):
            return ""
        return "M" + "L".join(f"{_format(self.x(x))} {_format(self.y(y))}" for x, y in zip(xs, ys))

    def frame(self, x_label: str, y_label: str) -> Html:
        """Return grid lines, tick labels and axis labels.

        Example:
            >>> Axes().frame("recall", "precision").count('class="grid"')
            12
        """
        left, top, right, bottom = self.plot_area
        ticks = [self._vertical_grid_line(value) for value in tick_values(*self.x_range)]
        ticks += [self._horizontal_grid_line(value) for value in tick_values(*self.y_range)]
        axis_labels = [
            element("text", x_label, x=_format((left + right) / 2), y=_format(bottom + 40), class_="axis"),
            element(
                "text", y_label, class_="axis", transform=f"translate(13 {_format((top + bottom) / 2)}) rotate(-90)"
            ),
        ]
        return render(ticks, axis_labels)

    def _vertical_grid_line(self, value: float) -> Html:
        """Return the grid line at a value of the x axis, with its tick label."""
        _, top, _, bottom = self.plot_area
        x = _format(self.x(value))
        line = element("line", x1=x, x2=x, y1=_format(top), y2=_format(bottom), class_="grid")
        return render(line, element("text", f"{value:g}", x=x, y=_format(bottom + 18), class_="tick x"))

    def _horizontal_grid_line(self, value: float) -> Html:
        """Return the grid line at a value of the y axis, with its tick label."""
        left, _, right, _ = self.plot_area
        y = self.y(value)
        baseline = y + 4.5  # about half the height of a digit, so that the text is centered vertically on the line
        line = element("line", x1=_format(left), x2=_format(right), y1=_format(y), y2=_format(y), class_="grid")
        return render(line, element("text", f"{value:g}", x=_format(left - 7), y=_format(baseline), class_="tick y"))


def svg(axes: Axes, *content: Content, label: str, class_: str = "chart", **attributes: object) -> Html:
    """Return an SVG element with the size of the axes; ``label`` is its description for screen readers.

    Example:
        >>> svg(Axes(), label="empty")
        '<svg viewBox="0 0 480 340" class="chart" role="img" aria-label="empty"></svg>'
    """
    box = f"0 0 {_format(axes.width)} {_format(axes.height)}"
    return element("svg", *content, viewBox=box, class_=class_, role="img", aria_label=label, **attributes)


def tick_values(low: float, high: float, max_intervals: int = 6) -> list[float]:
    """Return the values of an axis's ticks: the multiples of a step that is 1, 2 or 5 times a power of ten.

    Args:
        low: Value at the start of the axis.
        high: Value at the end of the axis.
        max_intervals: Maximum number of intervals between ticks from ``low`` to ``high``.

    Example:
        >>> tick_values(0, 1)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> tick_values(0.7, 1)
        [0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / max_intervals))
    steps = (factor * power for factor in (1, 2, 5, 10))  # 10 is factor 1 of the next power of ten
    # 1e-9 allows for rounding errors of the divisions
    step = next(step for step in steps if (high - low) / step <= max_intervals + 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(multiple * step, 9) for multiple in range(first, last + 1)]  # 0.3, not 0.30000000000000004


def _format(value: float) -> str:
    """Format a coordinate with at most one decimal, which keeps the pages small."""
    return f"{value:.1f}".removesuffix(".0")
