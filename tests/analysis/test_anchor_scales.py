"""IoU with square priors against exact polygon intersections and against all priors of an image."""

import numpy as np
import pytest
from shapely.geometry import Polygon, box

from rotated_atss.analysis.anchor_scales import SCALES, STRIDES_PX, best_prior_ious, best_scale, fit_anchor_scales
from tests.references.datasets import rectangles


def random_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(6), np.log(300), (count, 2)))
    return np.concatenate((rng.uniform(200, 700, (count, 2)), sides, rng.uniform(-1.5, 1.5, (count, 1))), axis=1)


def slow_iou(polygon, cx, cy, side):
    first, second = Polygon(polygon.reshape(4, 2)), box(cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2)
    shared = first.intersection(second).area
    return shared / (first.area + second.area - shared)


def slow_best(polygon, center, scale, reach):
    """Highest IoU with the priors within ``reach`` strides of the center, on every level."""
    best = 0.0
    for stride in STRIDES_PX:
        column, row = (int(value // stride) for value in center)
        for y in range(row - reach, row + reach + 2):
            for x in range(column - reach, column + reach + 2):
                best = max(best, slow_iou(polygon, x * stride, y * stride, scale * stride))
    return best


def test_ious_agree_with_exact_intersections():
    boxes = random_boxes(30)
    for scale in (2, 4, 8):
        expected = [slow_best(polygon, row[:2], scale, reach=0) for polygon, row in zip(rectangles(boxes), boxes)]
        assert best_prior_ious(boxes, scale) == pytest.approx(np.array(expected), abs=1e-4)


def test_farther_priors_are_rarely_better():
    """The four nearest priors of a level have the highest IoU of the level, or nearly so."""
    boxes = random_boxes(40, seed=1)
    found = best_prior_ious(boxes, 4)
    exact = np.array([slow_best(polygon, row[:2], 4, reach=2) for polygon, row in zip(rectangles(boxes), boxes)])
    assert (found <= exact + 1e-6).all()
    assert (exact - found).max() < 0.05
    assert (exact - found < 1e-4).mean() > 0.8


def test_the_best_scale_is_that_of_the_objects():
    squares = np.array([[stride * 8.0, stride * 8.0, 5 * stride, 5 * stride, 0] for stride in STRIDES_PX])
    fits = fit_anchor_scales(squares)
    best = best_scale(fits)
    assert (best.scale, best.median_iou, best.above_half) == (5, 1, 1)
    assert [fit.scale for fit in fits] == list(SCALES)
    assert fit_anchor_scales(np.zeros((0, 5))) == []


def test_many_objects_are_thinned_evenly():
    boxes = np.repeat(random_boxes(50), 1000, axis=0)
    thinned, few = (fit_anchor_scales(each, scales=[4])[0] for each in (boxes, random_boxes(50)))
    assert thinned.median_iou == pytest.approx(few.median_iou, abs=0.02)
