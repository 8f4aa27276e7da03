"""Options for the conversion of the pixels of a file to 8-bit color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rotated_atss.errors import UserError, quote
from rotated_atss.io.bit_depth import check_bits

PADDING_BGR = (104, 116, 124)
"""Color of pixels outside an image and of pixels without data.

It is the mean color of ImageNet, which the normalization of the network input maps to 0.
"""

AUTO, NONE, PERCENTILE = "auto", "none", "percentile"
SCALING_RULES = (AUTO, NONE, PERCENTILE)


@dataclass(frozen=True)
class PixelOptions:
    """Conversion of the pixels of a file to 8-bit color. Unsigned 8-bit values are never scaled.

    Attributes:
        bits: Number of used bits of unsigned 16-bit images, 8 to 16; None determines it from the values of the image.
        scaling: Rule that maps values of all other types to the range 0..255:

            - ``auto`` divides unsigned 16-bit values by 2^(bits - 8), and applies the rule ``percentile`` to values of
              other types.
            - ``none`` rounds and clips.
            - ``percentile`` maps the 2nd percentile to 0 and the 98th percentile to 255.
            - ``(min, max)`` maps min to 0 and max to 255.
        bands: Numbers, counted from 1, of the red, green and blue bands, or of the gray band. None uses the bands that
            the file labels as red, green and blue. If there are no labels, None uses the first three bands, or the
            first band if there are fewer than three.

    Raises:
        UserError: A value is out of range.

    Example:
        >>> PixelOptions(scaling=(0, 3000), bands=(3, 2, 1)).bands
        (3, 2, 1)
    """

    bits: int | None = None
    scaling: str | tuple[float, float] = AUTO
    bands: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls, bits: int | None = None, scaling: str | Sequence[float] = AUTO, bands: Sequence[int] | None = None
    ) -> PixelOptions:
        """Create options from values of a config or a JSON file, in which lists stand for tuples.

        Example:
            >>> PixelOptions.of(scaling=[0, 1], bands=[3, 2, 1]).scaling
            (0, 1)
        """
        rule_or_range: Any = scaling if isinstance(scaling, str) else tuple(scaling)
        band_numbers = None if bands is None else tuple(bands)
        return cls(bits, rule_or_range, band_numbers)

    def __post_init__(self) -> None:
        check_bits(self.bits)
        check_scaling(self.scaling)
        check_bands(self.bands)


def check_scaling(scaling: object) -> None:
    """Raise an error unless a value is valid for :attr:`PixelOptions.scaling`.

    Raises:
        UserError: The value is neither one of ``SCALING_RULES`` nor two ascending finite numbers.

    Example:
        >>> check_scaling((5, 5))
        Traceback (most recent call last):
        rotated_atss.errors.UserError: the scaling must be auto, none, percentile or two ascending numbers, got '(5, 5)'
    """
    if isinstance(scaling, str):
        is_valid = scaling in SCALING_RULES
    else:
        is_valid = isinstance(scaling, (tuple, list)) and len(scaling) == 2 and _are_ascending(*scaling)
    if not is_valid:
        raise UserError(
            f"the scaling must be {', '.join(SCALING_RULES)} or two ascending numbers, got {quote(scaling)}"
        )


def check_bands(bands: object) -> None:
    """Raise an error unless a value is valid for :attr:`PixelOptions.bands`.

    Raises:
        UserError: The value is neither None nor one or three integers of at least 1.

    Example:
        >>> check_bands((3, 2, 1))
    """
    if bands is None:
        return
    are_numbers = isinstance(bands, (tuple, list)) and all(type(band) is int and band >= 1 for band in bands)
    if not are_numbers or len(bands) not in (1, 3):  # type: ignore[arg-type]
        what = f"bands must be one or three integers of at least 1, got {quote(bands)}"
        raise UserError(what, hint="for example --bands 3,2,1")


def _are_ascending(low: object, high: object) -> bool:
    are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (low, high))
    return are_numbers and float("-inf") < low < high < float("inf")  # type: ignore[operator]
