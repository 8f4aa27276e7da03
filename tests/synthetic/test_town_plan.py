"""The town plan divides the land into blocks."""

import cv2
import numpy as np

from rotated_atss.synthetic.town_plan import make_town_plan


def test_blocks_cover_the_land_without_overlap() -> None:
    plan = make_town_plan((880, 720), np.random.default_rng(4))
    cover = np.zeros((720, 880), np.uint8)
    for block in plan.blocks:
        one = cv2.fillPoly(np.zeros_like(cover), [np.round(block.outline(1.0)).astype(np.int32)], 1)
        assert not (cover & one).any()
        cover |= one
    assert cover.mean() > 0.45
    assert len(plan.blocks) >= 7
