"""Figures without a display."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from rotated_atss.analysis.plotting import COLORS, mark_empty, new_figure, to_png

pytest.importorskip("matplotlib")


def decode(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("dpi", [50, 100])
def test_size_in_pixels(dpi: int) -> None:
    assert decode(to_png(new_figure(figsize=(4, 3)), dpi)).shape == (3 * dpi, 4 * dpi, 3)


def test_empty_axes_are_marked_in_the_middle() -> None:
    figure = new_figure(figsize=(4, 4))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    mark_empty(ax)
    rows, columns = np.nonzero(decode(to_png(figure)).min(axis=2) < 128)
    assert 170 < rows.min() <= rows.max() < 230
    assert 170 < columns.min() <= columns.max() < 230


def test_colors_differ() -> None:
    assert len(set(COLORS)) == len(COLORS) == 7
