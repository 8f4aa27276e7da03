"""What a split is told: checked once, passed to every worker, written into the manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rotated_atss.dota.tiles import MIN_WINDOW_SIZE
from rotated_atss.errors import UserError
from rotated_atss.io.images import IMAGE_FORMATS
from rotated_atss.tiling.windows import sizes_at_rates

NAME_STYLES = ("mmrotate", "devkit")
PADDING_BGR = (104, 116, 124)


@dataclass(frozen=True)
class SplitSettings:
    """How images are cut.

    Raises:
        UserError: A value is out of its range or the values do not fit each other.
    """

    sizes: tuple[int, ...] = (1024,)  # window sides, pixels
    gaps: tuple[int, ...] = (200,)  # overlap of neighbouring windows, pixels, one a size
    rates: tuple[float, ...] = (1.0,)
    iof_threshold: float = 0.7  # share of an object's area that a window must hold, in (0, 1]
    image_ratio: float = 0.6  # share of a window that the image must exceed, in [0, 1)
    padding: tuple[int, ...] | None = PADDING_BGR  # what fills a window past the image; None cuts the tile short
    name_style: str = "mmrotate"  # or "devkit": a rate resamples the image instead of resizing the window
    image_format: str = "png"
    keep_empty: bool = True  # write tiles without objects

    def __post_init__(self) -> None:
        _check_sizes(self.sizes, self.gaps)
        _check_rates(self.rates)
        _check_shares(self.iof_threshold, self.image_ratio)
        _check_choice("name style", self.name_style, NAME_STYLES)
        _check_choice("image format", self.image_format, IMAGE_FORMATS)
        _check_padding(self.padding)
        if self.resamples:
            _check_devkit(self.sizes, self.rates)
        else:
            _check_sizes(*zip(*self.grids()))

    @property
    def resamples(self) -> bool:
        """Whether a rate resizes the image, not the window."""
        return self.name_style == "devkit"

    def grids(self) -> list[tuple[int, int]]:
        """(size, gap) of every grid over one image: at all rates, or at one where rates resample."""
        sizes_and_gaps = list(zip(self.sizes, self.gaps))
        return sizes_and_gaps if self.resamples else sizes_at_rates(sizes_and_gaps, self.rates)

    def tile_name(self, image_id: str, rate: float, window: Sequence[int]) -> str:
        """``P0001__1024__0___824`` (window size), or in the devkit's style ``P0001__0.5__0___824`` (rate).

        ``rotated_atss.dota.tiles.parse_tile_name`` takes it apart again.
        """
        x_start, y_start, x_stop, _ = window
        field = _rate_text(rate) if self.resamples else str(x_stop - x_start)
        return f"{image_id}__{field}__{x_start}___{y_start}"


def _rate_text(rate: float) -> str:
    return str(int(rate)) if rate == int(rate) else repr(rate)


def _check_sizes(sizes: Sequence[int], gaps: Sequence[int]) -> None:
    if not sizes or len(sizes) != len(gaps):
        raise UserError(f"{len(sizes)} window sizes and {len(gaps)} gaps", hint="give one gap a size, or one for all")
    for size, gap in zip(sizes, gaps):
        if size < MIN_WINDOW_SIZE:
            hint = f"at least {MIN_WINDOW_SIZE} px after division by the rate"
            raise UserError(f"a window of {size} px is too small", hint=hint)
        if not 0 <= gap < size:
            raise UserError(f"the gap {gap} does not fit the window size {size}", hint="0 <= gap < size")


def _check_rates(rates: Sequence[float]) -> None:
    if not rates or not all(math.isfinite(rate) and rate > 0 for rate in rates):
        raise UserError(f"rates are positive numbers, not {list(rates)}")


def _check_shares(iof_threshold: float, image_ratio: float) -> None:
    if not 0 < iof_threshold <= 1:
        raise UserError(f"the IoF threshold is above 0 and at most 1, not {iof_threshold}")
    if not 0 <= image_ratio < 1:
        raise UserError(f"the image ratio is at least 0 and below 1, not {image_ratio}")


def _check_padding(padding: Sequence[int] | None) -> None:
    if padding is not None and not (len(padding) == 3 and all(0 <= value <= 255 for value in padding)):
        raise UserError(f"padding is blue, green and red, each 0 to 255, not {padding}")


def _check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"unknown {what} '{value}'", hint=f"one of {', '.join(choices)}")


def _check_devkit(sizes: Sequence[int], rates: Sequence[float]) -> None:
    if len(sizes) > 1:
        raise UserError("tile names of the devkit's style tell the rate, not the window size", hint="give one size")
    if max(rates) >= MIN_WINDOW_SIZE:
        hint = f"below {MIN_WINDOW_SIZE}"
        raise UserError(f"a rate of {max(rates)} reads as a window size in a tile's name", hint=hint)
