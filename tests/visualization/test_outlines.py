"""Dashed outlines and front edges, on light and on dark ground."""

from __future__ import annotations

import numpy as np
import pytest

from rotated_atss.visualization.drawing import draw_boxes
from rotated_atss.visualization.outlines import draw_outline

SQUARE = np.array([[20.5, 20.5], [100.5, 20.5], [100.5, 100.5], [20.5, 100.5]])
RED = (0, 0, 255)


def canvas(level: int = 0) -> np.ndarray:
    return np.full((120, 120, 3), level, np.uint8)


def test_dashed_edges_have_gaps_and_visible_corners() -> None:
    solid, dashed = canvas(), canvas()
    draw_outline(solid, SQUARE, RED)
    draw_outline(dashed, SQUARE, RED, dashed=True)
    top = dashed[20, 20:101, 2] > 100
    assert top[[0, 1, -2, -1]].all()
    assert 0.35 < top.mean() < 0.75
    assert 5 < (np.diff(top.astype(int)) == 1).sum() < 12
    assert not (dashed[:, :, 2] > 100)[solid[:, :, 2] == 0].any()  # nothing beside the line


@pytest.mark.parametrize("side", [3.0, 8.0, 14.0])
def test_small_dashed_boxes_differ_from_solid_ones(side: float) -> None:
    box = np.array([[50.5, 50.5], [50.5 + side, 50.5], [50.5 + side, 50.5 + side], [50.5, 50.5 + side]])
    solid, dashed = canvas(), canvas()
    draw_outline(solid, box, RED)
    draw_outline(dashed, box, RED, dashed=True)
    assert dashed.any()
    if side > 4:
        assert dashed.sum() < 0.85 * solid.sum()


def test_huge_dashed_edges_are_solid_lines() -> None:
    """Dashes of an edge of a million pixels would take seconds."""
    image = canvas()
    draw_outline(image, np.array([[-1e6, 60.5], [1e6, 60.5], [1e6, 1e6], [-1e6, 1e6]]), RED, dashed=True)
    assert (image[60, :, 2] > 100).all()
    assert not image[:55].any()


def test_a_dashed_box_without_area_is_a_point() -> None:
    image = canvas()
    draw_outline(image, np.full((4, 2), 50.5), RED, dashed=True)
    assert 0 < image.any(-1).sum() < 16


@pytest.mark.parametrize("ground", [0, 90, 180, 255])
@pytest.mark.parametrize("thickness", [1, 3])
def test_the_front_edge_is_visible_on_any_ground(ground: int, thickness: int) -> None:
    image = canvas(ground)
    draw_outline(image, SQUARE, RED, thickness, mark_front=True)
    across = image[10:31, 60].astype(int).mean(-1)  # pixels across the front edge
    assert np.ptp(across) > 180  # white next to black
    assert np.abs(across - ground).max() > 120
    opposite = image[90:111, 60].astype(int)
    assert (np.abs(opposite - RED).max(-1) < 40).any()


def test_dashed_classes_are_drawn_dashed_and_marked_in_the_legend() -> None:
    polygons, names = SQUARE.reshape(1, 8), ["helipad"]
    pictures = [draw_boxes(canvas(), polygons, names, dashed=dashed, box_only=True) for dashed in ((), {"helipad"})]
    assert 0 < pictures[1].astype(bool).sum() < 0.8 * pictures[0].astype(bool).sum()
    legends = [
        draw_boxes(canvas(), np.zeros((1, 8)), names, dashed=dashed, legend=True) for dashed in ((), {"helipad"})
    ]
    assert legends[1][100:].any(-1).any(0).sum() > legends[0][100:].any(-1).any(0).sum() + 30


def test_a_dashed_outline_without_length_is_a_dot_at_most() -> None:
    dot = canvas()
    draw_outline(dot, np.full((4, 2), 50.0), RED, dashed=True)
    assert (dot > 0).any(axis=2).sum() <= 4
