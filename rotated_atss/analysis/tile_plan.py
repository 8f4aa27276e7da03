"""Choice of the windows of a split: size, gap and rates that suit the objects of a dataset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW_PX, DEFAULT_GAP_PX = 1024, 200  # of the published DOTA results
SMALL_PX = 16  # square root of the area; smaller objects contain few centers of priors that are 8 px apart
GAP_STEP_PX = 50
COVERED = 0.99  # share of the objects that the gap covers
_MAX_RATE, _MAX_RATES = 4.0, 3


@dataclass(frozen=True)
class TilePlan:
    """Windows of a split, with the meaning of the options of ``rotated-atss split``.

    Attributes:
        size: Side of the windows at rate 1, pixels.
        gap: Overlap of neighboring windows at rate 1, pixels.
        rates: Scales of the image; a rate of 0.5 doubles windows and gap in pixels of the image.

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
        rates = "" if self.rates == (1.0,) else " --rates " + " ".join(f"{rate:g}" for rate in self.rates)
        return f"--size {self.size} --gap {self.gap}{rates}"

    @property
    def covered_px(self) -> float:
        """Extent up to which every object is whole in at least one tile, pixels of the image.

        Windows of one rate overlap by their gap, so an interval of that length lies in one of them.
        """
        return self.gap / min(self.rates)

    def to_json(self) -> dict[str, Any]:
        """Return size, gap and rates."""
        return {"size": self.size, "gap": self.gap, "rates": list(self.rates)}


def choose_rate(size: NDArray[np.float64], extent: NDArray[np.float64]) -> float:
    """Choose the scale at which images are split.

    Args:
        size: (N,) square roots of the areas, pixels.
        extent: (N,) longer sides of the circumscribed horizontal boxes, pixels.

    Returns:
        1, unless most objects are too small or too large: then 2 or 4, at which at least half of the objects reach
        16 px, or 1/2, 1/4 or 1/8, at which at least half fit into half a window. If no rate suffices, 4 or 1/8.

    Example:
        >>> choose_rate(np.array([9.0, 10, 30]), np.array([9.0, 10, 30]))
        2.0
    """
    rate = 1.0
    if not len(size):
        return rate
    while (size * rate < SMALL_PX).mean() > 0.5 and rate < _MAX_RATE:
        rate *= 2
    while rate <= 1 and (extent * rate > WINDOW_PX / 2).mean() > 0.5 and rate > 1 / 8:
        rate /= 2
    return rate


def choose_tile_plan(size: NDArray[np.float64], extent: NDArray[np.float64]) -> TilePlan:
    """Choose windows of 1024 px whose overlap is at least the extent of 99% of the objects.

    A gap of more than half a window would multiply the tiles. Beyond that, coarser windows are added instead.

    Args:
        size: (N,) square roots of the areas, pixels.
        extent: (N,) longer sides of the circumscribed horizontal boxes, pixels.

    Returns:
        The plan. Its gap is at least 200 px, the default.

    Example:
        >>> choose_tile_plan(np.full(9, 120.0), np.full(9, 305.0)).gap
        350
    """
    rates = [choose_rate(size, extent)]
    longest = round(float(np.quantile(extent, COVERED)), 3) if len(extent) else 0.0  # 300.0000001 is 300
    limit = WINDOW_PX // 2 // GAP_STEP_PX * GAP_STEP_PX
    while longest * rates[0] > limit and len(rates) < _MAX_RATES:
        rates.insert(0, rates[0] / 2)
    needed = math.ceil(longest * rates[0] / GAP_STEP_PX) * GAP_STEP_PX
    return TilePlan(gap=min(max(needed, DEFAULT_GAP_PX), limit), rates=tuple(rates))


def fits_whole(image_wh: NDArray[np.int64], plan: TilePlan) -> bool:
    """Return whether every image fits into one window of each rate; False if no size is known.

    Example:
        >>> fits_whole(np.array([[640, 480]]), TilePlan()), fits_whole(np.array([[4000, 480]]), TilePlan())
        (True, False)
    """
    known = image_wh[(image_wh > 0).all(axis=1)]
    return bool(len(known)) and bool((known * max(plan.rates) <= plan.size).all())


def describe_rates(rates: Sequence[float]) -> str:
    """Return rates as text.

    Example:
        >>> describe_rates([0.5, 1.0])
        '0.5, 1'
    """
    return ", ".join(f"{rate:g}" for rate in rates)
