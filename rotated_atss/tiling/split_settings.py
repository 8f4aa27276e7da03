"""Define and validate the settings of a split, which are passed to every worker and recorded in the manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rotated_atss.dota.tiles import MIN_WINDOW_SIZE
from rotated_atss.errors import UserError
from rotated_atss.io.images import IMAGE_FORMATS
from rotated_atss.io.pixel_options import AUTO, PADDING_BGR, PixelOptions
from rotated_atss.tiling.windows import sizes_at_rates

NAME_STYLES = ("mmrotate", "devkit")
MAX_WINDOW_SIZE = 1 << 15
"""Largest side of a window in pixels. A tile of this size takes 3 GB of memory; OpenCV fails for much larger tiles."""


@dataclass(frozen=True)
class SplitSettings:
    """Settings of a split. Sequences can be lists or tuples.

    The defaults are those of the published single-scale DOTA results.

    Attributes:
        sizes: Sides of the windows, pixels.
        gaps: Overlap of neighboring windows, pixels; one per size, or one for all sizes. If empty, each size uses its
            :func:`default_gap`.
        rates: Image scales. In the name style ``mmrotate``, a rate of 0.5 doubles the size of the windows and does not
            resample the image. In the name style ``devkit``, a rate of 0.5 halves the width and height of the image.
        iof_threshold: An object belongs to the tiles that contain at least this fraction of its area, in (0, 1].
        image_ratio: Windows are kept if the image fills more than this fraction of their area, in [0, 1). At least one
            window per image is kept.
        padding: BGR color of the part of a tile outside the image; None writes smaller tiles instead.
        name_style: ``"mmrotate"`` (``P0001__1024__0___824``) or ``"devkit"`` (``P0001__0.5__0___824``).
        image_format: ``png``, ``jpg``, ``bmp`` or ``tif``.
        keep_empty: Write tiles without objects.
        bits: Number of used bits of 16-bit images, 8 to 16; None determines it from all images.
        scaling: Scaling of images that are not 8-bit, as in :class:`rotated_atss.io.pixel_options.PixelOptions`. For
            ``auto`` and ``percentile``, the limits are determined from all images.
        bands: Band numbers, from 1: three for red, green and blue, or one for gray; None uses the bands that the file
            declares.
        whole_images: Do not divide the images. Each image becomes one tile with the name of the image and all its
            objects that have an area. Images that are 8-bit are copied, others are written as PNG. With this setting,
            all other settings except ``bits``, ``scaling``, ``bands`` and ``keep_empty`` have no effect.

    Raises:
        UserError: A value is out of range, or values contradict each other.

    Example:
        >>> SplitSettings(sizes=[1024], gaps=[200], rates=[0.5, 1.0]).grids()
        [(2048, 400), (1024, 200)]
    """

    sizes: tuple[int, ...] = (1024,)
    gaps: tuple[int, ...] = ()
    rates: tuple[float, ...] = (1.0,)
    iof_threshold: float = 0.7
    image_ratio: float = 0.6
    padding: tuple[int, ...] | None = PADDING_BGR
    name_style: str = "mmrotate"
    image_format: str = "png"
    keep_empty: bool = True
    bits: int | None = None
    scaling: str | tuple[float, float] = AUTO
    bands: tuple[int, ...] | None = None
    whole_images: bool = False

    def __post_init__(self) -> None:
        self._normalize()
        _check_sizes(self.sizes, self.gaps)
        _check_rates(self.rates)
        _check_fractions(self.iof_threshold, self.image_ratio)
        _check_choice("name style", self.name_style, NAME_STYLES)
        _check_choice("image format", self.image_format, IMAGE_FORMATS)
        _check_padding(self.padding)
        if self.resamples:
            _check_devkit_style(self.sizes, self.rates)
        else:
            # The sizes and gaps of the grids are the given ones divided by the rates, and must be valid as well.
            scaled_sizes, scaled_gaps = zip(*self.grids())
            _check_sizes(scaled_sizes, scaled_gaps)

    def _normalize(self) -> None:
        """Turn sequences into tuples and rates into floats, and set one gap per size."""
        gaps = tuple(self.gaps) or tuple(default_gap(size) for size in self.sizes)
        values = {
            "sizes": tuple(self.sizes),
            "gaps": gaps * len(self.sizes) if len(gaps) == 1 else gaps,
            "rates": tuple(float(rate) for rate in self.rates),
            "scaling": self.pixels.scaling,
            "bands": self.pixels.bands,
            "padding": None if self.padding is None else tuple(self.padding),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the class is frozen

    @property
    def pixels(self) -> PixelOptions:
        """Conversion of the pixels of the images."""
        return PixelOptions.of(self.bits, self.scaling, self.bands)

    @property
    def resamples(self) -> bool:
        """Whether rates resize the image; otherwise they change the sizes of the windows."""
        return self.name_style == "devkit"

    def grids(self) -> list[tuple[int, int]]:
        """Return a pair (size, gap) per grid of windows. Images that are resampled use all grids at each rate."""
        sizes_and_gaps = list(zip(self.sizes, self.gaps))
        return sizes_and_gaps if self.resamples else sizes_at_rates(sizes_and_gaps, self.rates)

    def resampling_rates(self) -> list[float]:
        """Return the rates at which an image is resampled, without duplicates.

        If rates change the windows instead of the image, return ``[1.0]``, because the image is used as it is.

        Example:
            >>> SplitSettings(rates=[0.5, 1.0]).resampling_rates()
            [1.0]
            >>> SplitSettings(rates=[0.5, 1.0], name_style="devkit").resampling_rates()
            [0.5, 1.0]
        """
        return list(dict.fromkeys(self.rates)) if self.resamples else [1.0]

    def tile_name(self, image_id: str, rate: float, window: Sequence[int]) -> str:
        """Return the name of a tile, as :func:`rotated_atss.dota.tiles.parse_tile_name` parses it.

        Args:
            image_id: Name of the image file without suffix.
            rate: Rate at which the image was resampled; used in the devkit style only.
            window: x_start, y_start, x_stop, y_stop.

        Example:
            >>> SplitSettings().tile_name("P0001", 1.0, (0, 824, 1024, 1848))
            'P0001__1024__0___824'
        """
        x_start, y_start, x_stop, _ = window
        scale = _format_rate(rate) if self.resamples else str(x_stop - x_start)
        return f"{image_id}__{scale}__{x_start}___{y_start}"


def default_gap(size: int) -> int:
    """Return the default overlap of windows of one size.

    The published DOTA results use 200 px for windows of 1024 px; other sizes get the same proportion, rounded down.

    Args:
        size: Side of the windows, pixels.

    Example:
        >>> default_gap(1024), default_gap(256)
        (200, 50)
    """
    return size * 200 // 1024


def _format_rate(rate: float) -> str:
    """Format a rate for a tile name. Whole numbers have no decimals: ``1``, not ``1.0``."""
    return str(int(rate)) if rate == int(rate) else repr(rate)


def _check_sizes(sizes: Sequence[int], gaps: Sequence[int]) -> None:
    if not sizes or len(sizes) != len(gaps):
        hint = "give one gap per size, or one for all"
        raise UserError(f"each window size needs a gap, got {len(sizes)} window sizes and {len(gaps)} gaps", hint=hint)
    for size, gap in zip(sizes, gaps):
        if size < MIN_WINDOW_SIZE:
            hint = "choose a larger size or smaller rates: except in the devkit name style, rates divide the size"
            raise UserError(f"window sizes must be at least {MIN_WINDOW_SIZE} px, got {size} px", hint=hint)
        if size > MAX_WINDOW_SIZE:
            hint = "choose a smaller size or larger rates, or --whole-images to keep images in one piece"
            raise UserError(f"window sizes must be at most {MAX_WINDOW_SIZE} px, got {size} px", hint=hint)
        if not 0 <= gap < size:
            raise UserError(f"the gap must satisfy 0 <= gap < size, got gap {gap} for window size {size}")


def _check_rates(rates: Sequence[float]) -> None:
    if not rates or not all(math.isfinite(rate) and rate > 0 for rate in rates):
        raise UserError(f"rates must be positive numbers, got {list(rates)}")


def _check_fractions(iof_threshold: float, image_ratio: float) -> None:
    if not 0 < iof_threshold <= 1:
        raise UserError(f"the IoF threshold must be in (0, 1], got {iof_threshold}")
    if not 0 <= image_ratio < 1:
        raise UserError(f"the image ratio must be in [0, 1), got {image_ratio}")


def _check_padding(padding: Sequence[int] | None) -> None:
    if padding is not None and not (len(padding) == 3 and all(0 <= value <= 255 for value in padding)):
        raise UserError(f"padding must be blue, green and red from 0 to 255, got {padding}")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"unknown {name} '{value}'", hint=f"choose from {', '.join(choices)}")


def _check_devkit_style(sizes: Sequence[int], rates: Sequence[float]) -> None:
    if len(sizes) > 1:
        hint = "give one size"
        raise UserError(f"the devkit name style supports a single window size, got {len(sizes)}", hint=hint)
    if max(rates) >= MIN_WINDOW_SIZE:
        hint = "choose smaller rates: in a tile name, a larger rate would be read as a window size"
        raise UserError(f"rates of the devkit name style must be below {MIN_WINDOW_SIZE}, got {max(rates)}", hint=hint)
