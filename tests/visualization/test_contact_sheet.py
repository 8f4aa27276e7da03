"""Contact sheets and side-by-side pairs of images."""

from __future__ import annotations

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.visualization.contact_sheet import contact_sheet, side_by_side


def uniform(value: object, height: int = 50, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_images_keep_aspect_ratio_and_order() -> None:
    red, blue = uniform((0, 0, 255), 100, 50), uniform((255, 0, 0), 50, 100)
    sheet = contact_sheet([red, blue], columns=2, cell_wh=(80, 60), gap=4)
    assert sheet.shape == (4 + 60 + 4, 4 + 2 * 84, 3)
    is_red, is_blue = (np.argwhere((sheet == color).all(axis=2)) for color in ((0, 0, 255), (255, 0, 0)))
    assert np.ptp(is_red, axis=0).tolist() == [59, 29]
    assert np.ptp(is_blue, axis=0).tolist() == [39, 79]
    assert is_red[:, 1].max() < is_blue[:, 1].min()


def test_contact_sheet_rejects_no_images_and_missing_titles() -> None:
    with pytest.raises(UserError, match="at least one"):
        contact_sheet([])
    with pytest.raises(UserError, match="titles must have one entry per image, got 1 for 2 images"):
        contact_sheet([uniform(90), uniform(90)], ["one"])
    assert contact_sheet([uniform(90)] * 3, ["a", "b", "c"]).ndim == 3


def test_side_by_side() -> None:
    both = side_by_side(uniform(1, 4, 5), uniform(2, 4, 5), gap=3)
    assert both.shape == (4, 13, 3)
    assert (both[:, :5] == 1).all()
    assert (both[:, 8:] == 2).all()
    with pytest.raises(UserError, match="same size"):
        side_by_side(uniform(90, 50), uniform(90, 49))
