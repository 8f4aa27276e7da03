"""Classes of one picture are distinguishable, by color or by line style, also with a color vision deficiency."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rotated_atss.dota.classes import CLASSES
from rotated_atss.errors import UserError
from rotated_atss.visualization.palettes import SAFE_COLORS, class_color, class_styles
from tests.references.color_vision import simulated_lab, smallest_distance

FREQUENT = {"none": 33, "protanopia": 33, "deuteranopia": 33, "tritanopia": 18}  # smallest distance, CIE Lab


def test_the_simulation_agrees_with_known_values() -> None:
    lab = simulated_lab([(255, 255, 255), (0, 0, 0), (255, 0, 0)], "none")
    assert lab[0] == pytest.approx([100, 0, 0], abs=0.05)
    assert lab[1] == pytest.approx([0, 0, 0], abs=0.05)
    assert lab[2] == pytest.approx([53.24, 80.09, 67.20], abs=0.1)
    red_and_green = [(170, 85, 60), (110, 115, 60)]
    assert smallest_distance(red_and_green, "none") > 3 * smallest_distance(red_and_green, "deuteranopia")
    for deficiency in FREQUENT:  # gray stays gray
        assert np.abs(simulated_lab([(128, 128, 128)], deficiency)[0, 1:]).max() < 1


@pytest.mark.parametrize("deficiency", FREQUENT)
def test_safe_colors_are_apart(deficiency: str) -> None:
    assert smallest_distance(SAFE_COLORS, deficiency) >= FREQUENT[deficiency]
    white = [(255, 255, 255)]  # labels below detections, and front edges
    if deficiency != "tritanopia":
        assert min(smallest_distance([color, *white], deficiency) for color in SAFE_COLORS) >= 20


@pytest.mark.parametrize("version", CLASSES)
@pytest.mark.parametrize("deficiency", ["none", "protanopia", "deuteranopia"])
def test_classes_of_dota_differ_in_color_or_line_style(version: str, deficiency: str) -> None:
    styles = class_styles(CLASSES[version])
    assert len(set(styles.values())) == len(CLASSES[version])
    for first, second in combinations(styles.values(), 2):
        if first.dashed == second.dashed:
            assert smallest_distance([first.color, second.color], deficiency) >= 33


def test_colors_of_the_older_palette_are_not_apart() -> None:
    """The reason for the default."""
    colors = [class_color(name) for name in CLASSES["v1.0"]]
    assert smallest_distance(colors, "deuteranopia") < 5
    assert smallest_distance(colors, "protanopia") < 5
    assert class_styles(["ship"], "dota")["ship"] == (class_color("ship"), False)


@pytest.mark.parametrize("number", [1, 9, 15, 18])
def test_other_classes_have_different_styles(number: int) -> None:
    names = [f"class {index:02}" for index in range(number)]
    styles = class_styles(names)
    assert len(set(styles.values())) == number
    assert sum(style.dashed for style in styles.values()) == max(0, number - 9)
    assert class_styles(reversed(names)) == styles


def test_classes_beside_those_of_dota_get_what_is_left() -> None:
    styles = class_styles(["ship", "plane", "barge", "buoy"])
    assert len(set(styles.values())) == 4
    assert styles["ship"] == class_styles(["ship"])["ship"]
    many = class_styles([*CLASSES["v2.0"], "barge", "buoy"])
    assert many.keys() == {*CLASSES["v2.0"], "barge", "buoy"}


def test_unknown_palette() -> None:
    with pytest.raises(UserError, match="the palette must be one of safe, dota, got 'viridis'"):
        class_styles(["ship"], "viridis")
