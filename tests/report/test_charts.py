"""Charts draw the values that they are given; their colors are those of the other plots, and legible."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rotated_atss.report
from rotated_atss.analysis.evaluation.report import ALL_CLASSES
from rotated_atss.analysis.plotting import COLORS
from rotated_atss.report.axes import Axes, tick_values
from rotated_atss.report.charts import Axis, curve_chart, reliability_chart
from rotated_atss.report.sections.confusion import MIN_OPACITIES

STYLE = (Path(rotated_atss.report.__file__).parent / "static" / "report.css").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): ([^;]+);", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.S)[:2]
)
DARK = {**LIGHT, **DARK}


def drawn_points(path: str, axes: Axes) -> list[tuple[float, float]]:
    """Return the values of a path, by linear interpolation between the corners of the plot."""
    left, top, right, bottom = axes.plot_area
    low, high = axes.x_range
    points = [tuple(map(float, pair.split())) for pair in path.removeprefix("M").split("L")]
    return [(low + (x - left) / (right - left) * (high - low), (bottom - y) / (bottom - top)) for x, y in points]


def test_curves_pass_through_their_points() -> None:
    curves = {
        ALL_CLASSES: {"score": [0.9, 0.2], "f1": [0.1, 0.7]},
        "ship": {"score": [0.8, 0.5, 0.1], "f1": [0.0, 1.0, 0.3]},
    }
    chart = curve_chart(curves, Axis("score"), Axis("f1"), "curves")
    paths = dict(re.findall(r'data-series="(\d)" d="([^"]+)"', chart))
    for index, curve in enumerate(curves.values()):
        for point, expected in zip(
            drawn_points(paths[str(index)], Axes()), zip(curve["score"], curve["f1"]), strict=True
        ):
            assert point == pytest.approx(expected, abs=2e-4)
    assert chart.index("ship") < chart.index(ALL_CLASSES), "the thick line is drawn last"


def test_a_curve_of_one_point_is_visible() -> None:
    chart = curve_chart({"ship": {"score": [0.5], "f1": [1.0]}}, Axis("score"), Axis("f1"), "curves")
    path = re.search(r'class="curve point" data-series="0" d="([^"]+)"', chart)
    assert path is not None
    assert drawn_points(path[1], Axes(x_range=(0.5, 1))) == [pytest.approx((0.5, 1.0), abs=1e-3)] * 2
    assert re.search(r"\.curve\.point \{[^}]*stroke-linecap: round", STYLE), "without round ends nothing is drawn"


def test_scores_beyond_one_widen_the_axis() -> None:
    chart = curve_chart(
        {"ship": {"score": [4.0, -1.0], "f1": [0.5, 0.5]}}, Axis("score", threshold=2.0), Axis("f1"), "curves"
    )
    assert 'data-x-range="-1.0 4.0"' in chart
    assert "M466 152L56 152" in chart
    assert "threshold 2.000" in chart


@pytest.mark.parametrize(
    ("scores", "limits"),
    [([0.9, 0.05], "0.0 1.0"), ([0.95, 0.82], "0.8 1.0"), ([1.0, 1.0], "0.9 1.0"), ([], "0.0 1.0")],
)
def test_the_score_axis_begins_near_the_lowest_score(scores: list[float], limits: str) -> None:
    curve = {"score": scores, "f1": [0.5] * len(scores)}
    chart = curve_chart({"ship": curve}, Axis("score"), Axis("f1"), "curves")
    assert f'data-x-range="{limits}"' in chart


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.3, 1), (-1, 4), (0.9, 1), (0, 250), (-0.02, 1.13)])
def test_ticks_are_round_numbers_inside_the_range(low: float, high: float) -> None:
    ticks = tick_values(low, high)
    steps = {round(b - a, 6) for a, b in zip(ticks, ticks[1:])}
    (step,) = steps
    assert f"{step:e}"[0] in "125"
    assert 3 <= len(ticks) <= 7
    assert low - 1e-9 <= ticks[0] < low + step
    assert high - step < ticks[-1] <= high + 1e-9


def test_baseline_is_drawn_dashed_where_the_class_is_known() -> None:
    curve = {"score": [0.5], "f1": [0.5]}
    chart = curve_chart(
        {"ship": curve, "plane": curve}, Axis("score"), Axis("f1"), "c", {"plane": curve, "other": curve}
    )
    assert re.findall(r'class="curve baseline point" data-series="(\d)"', chart) == ["1"]


def test_reliability_points_and_columns() -> None:
    bins = [
        {"from": 0.0, "to": 0.5, "detections": 30, "mean_score": 0.25, "precision": 0.75},
        {"from": 0.5, "to": 1.0, "detections": 0, "mean_score": None, "precision": None},
    ]
    chart = reliability_chart(bins, "calibration")
    (x, y), axes = (
        re.search(r'class="point" cx="([\d.]+)" cy="([\d.]+)"', chart).groups(),
        Axes(height=400, margins=(56, 10, 14, 126)),
    )
    assert float(x) == pytest.approx(axes.x(0.25), abs=0.1)
    assert float(y) == pytest.approx(axes.y(0.75), abs=0.1)
    assert [float(height) for height in re.findall(r'class="column".*? height="([\d.]+)"', chart)] == [44]


@pytest.mark.parametrize(
    ("number", "text"), [(7, "7"), (999, "999"), (1000, "1.0k"), (12345, "12k"), (2_500_000, "2.5M")]
)
def test_labels_of_columns_are_short(number: int, text: str) -> None:
    bins = [{"from": 0.0, "to": 1.0, "detections": number, "mean_score": 0.5, "precision": 0.5}]
    assert f">{text}</text>" in reliability_chart(bins, "calibration")


def test_colors_are_those_of_the_other_plots() -> None:
    assert [LIGHT[f"color-{index}"] for index in range(len(COLORS))] == list(COLORS)


def luminance(color: tuple[float, ...]) -> float:
    """Relative luminance of sRGB as of WCAG 2."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rgb(text: str) -> tuple[float, ...]:
    return tuple(int(text[index : index + 2], 16) / 255 for index in (1, 3, 5))


def contrast(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(colors: dict[str, str]) -> None:
    for name in ("text", "muted", "link", "better", "worse"):
        for background in ("page", "soft"):
            assert contrast(rgb(colors[name]), rgb(colors[background])) >= 4.5, (name, background)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_in_the_matrix_are_legible_on_every_shade(colors: dict[str, str]) -> None:
    shade, page = tuple(int(part) / 255 for part in colors["shade"].split()), rgb(colors["page"])
    text = {"shaded": "on-light-shade", "strong": "on-strong-shade", "full": "on-full-shade"}
    for percent in range(1, 101):
        opacity = percent / 100
        cell = tuple(opacity * a + (1 - opacity) * b for a, b in zip(shade, page))
        (*_, name) = (name for name, limit in MIN_OPACITIES.items() if opacity > limit)
        assert contrast(cell, rgb(colors[text[name]])) >= 4.4, (opacity, name)
