"""Choose the gap and the rates (scales of the image) of a split by the sizes of the objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW_PX, DEFAULT_GAP_PX = 1024, 200  # the values of the published results on DOTA
SMALL_PX = 16  # objects whose sqrt(area) is smaller contain few prior centers, which are at least 8 px apart
GAP_STEP_PX = 50  # proposed gaps are multiples of this value
COVERED_SHARE = 0.99  # share of the objects that should not be longer than the overlap of the windows
_MIN_RATE, _MAX_RATE = 1 / 8, 4.0  # limits of :func:`choose_rate`
_MAX_NUM_RATES = 3  # a plan has at most this many rates


@dataclass(frozen=True)
class TilePlan:
    """Windows of a split; the attributes have the meaning of the options of ``rotated-atss split``.

    Attributes:
        size: Side of the windows in pixels of the rescaled image.
        gap: Overlap of neighboring windows in pixels of the rescaled image.
        rates: Factors by which the image is rescaled before it is split, ascending. At a rate of 0.5, windows and gap
            are twice as large in pixels of the original image.

    Example:
        >>> TilePlan(gap=350).options
        '--size 1024 --gap 350'
    """

    size: int = WINDOW_PX
    gap: int = DEFAULT_GAP_PX
    rates: tuple[float, ...] = (1.0,)

    @property
    def options(self) -> str:
        """Options of ``rotated-atss split``."""
        options = f"--size {self.size} --gap {self.gap}"
        if self.rates != (1.0,):
            options += " --rates " + " ".join(f"{rate:g}" for rate in self.rates)
        return options

    @property
    def covered_px(self) -> float:
        """Overlap of neighboring windows in pixels of the original image, at the lowest rate.

        Every object whose extent is at most this length lies completely in at least one tile.
        """
        return self.gap / min(self.rates)

    def to_json(self) -> dict[str, Any]:
        """Return size, gap and rates."""
        return {"size": self.size, "gap": self.gap, "rates": list(self.rates)}


def choose_rate(object_sizes: NDArray[np.float64], object_extents: NDArray[np.float64]) -> float:
    """Choose the factor by which images are rescaled before they are split.

    Args:
        object_sizes: (N,) square roots of the areas of the objects, pixels.
        object_extents: (N,) longer sides of their circumscribed horizontal boxes, pixels.

    Returns:
        The rate:

        - 2 if more than half of the objects are smaller than 16 px, or 4 if this is still so after rescaling by 2;
        - otherwise, if more than half of the objects are longer than half a window: the first of 1/2, 1/4 and 1/8 at
          which this is no longer so, or 1/8 if there is none;
        - otherwise 1.

    Example:
        >>> choose_rate(np.array([9.0, 10, 30]), np.array([9.0, 10, 30]))
        2.0
    """
    rate = 1.0
    if not len(object_sizes):
        return rate
    while (object_sizes * rate < SMALL_PX).mean() > 0.5 and rate < _MAX_RATE:
        rate *= 2
    # images that have just been enlarged are not reduced again
    while rate <= 1 and (object_extents * rate > WINDOW_PX / 2).mean() > 0.5 and rate > _MIN_RATE:
        rate /= 2
    return rate


def choose_tile_plan(object_sizes: NDArray[np.float64], object_extents: NDArray[np.float64]) -> TilePlan:
    """Choose windows of 1024 px whose overlap is at least as long as 99% of the objects, as far as possible.

    The gap is at least 200 px, the default, and at most 500 px, since the number of tiles grows quickly with the gap.
    If a larger gap is needed, up to two lower rates are added, each half of the one before. At a lower rate, windows
    and gap cover more of the image.

    Args:
        object_sizes: (N,) square roots of the areas of the objects, pixels.
        object_extents: (N,) longer sides of their circumscribed horizontal boxes, pixels.

    Example:
        >>> choose_tile_plan(np.full(9, 120.0), np.full(9, 305.0)).gap
        350
    """
    rates = [choose_rate(object_sizes, object_extents)]  # lower rates are inserted at the front
    # because of the rounding, an extent of 300.0000001 px does not need a larger gap than 300 px
    needed_px = round(float(np.quantile(object_extents, COVERED_SHARE)), 3) if len(object_extents) else 0.0
    max_gap = WINDOW_PX // 2 // GAP_STEP_PX * GAP_STEP_PX  # half a window, rounded down to a multiple of the step
    while needed_px * rates[0] > max_gap and len(rates) < _MAX_NUM_RATES:
        rates.insert(0, rates[0] / 2)
    needed_gap = math.ceil(needed_px * rates[0] / GAP_STEP_PX) * GAP_STEP_PX
    return TilePlan(gap=min(max(needed_gap, DEFAULT_GAP_PX), max_gap), rates=tuple(rates))


def fits_whole(image_wh: NDArray[np.int64], plan: TilePlan) -> bool:
    """Return whether every image fits into one window at every rate; False if no image size is known.

    Example:
        >>> fits_whole(np.array([[640, 480]]), TilePlan()), fits_whole(np.array([[4000, 480]]), TilePlan())
        (True, False)
    """
    known_wh = image_wh[(image_wh > 0).all(axis=1)]
    return bool(len(known_wh)) and bool((known_wh * max(plan.rates) <= plan.size).all())


def describe_rates(rates: Sequence[float]) -> str:
    """Return rates as text.

    Example:
        >>> describe_rates([0.5, 1.0])
        '0.5, 1'
    """
    return ", ".join(f"{rate:g}" for rate in rates)
