"""Selection of the bands of an image that rasterio reads: colors, masks, palette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.png import Image

_ALPHA = "alpha"


@dataclass(frozen=True)
class BandSelection:
    """Bands that are read, and how their values become colors.

    Attributes:
        bands: Numbers, from 1, of the bands of blue, green and red, or of gray.
        masks: Numbers of the bands whose masks are read. A pixel has data if any of these masks says so.
        palette: (N, 3) uint8, BGR: row v is the color of pixels with the value v. None without a palette.
        maximum: Largest value of bands of fewer than 8 bits, which is scaled to 255; otherwise 255.
        inverted: Whether 0 is white.
    """

    bands: tuple[int, ...]
    masks: tuple[int, ...]
    palette: Image | None = None
    maximum: int = 255
    inverted: bool = False


def select_bands(file: Any, requested: tuple[int, ...] | None, path: Path) -> BandSelection:
    """Select the bands of an image, and find out how they are masked and converted.

    Args:
        file: An open rasterio dataset.
        requested: Numbers, from 1, of the bands of red, green and blue, or of gray; None uses those that the file
            labels so (its color interpretation).
        path: Path of the image, for errors.

    Raises:
        UserError: The image does not have a requested band, or the bands have types that cannot be converted.

    Example::

        select_bands(rasterio.open("ortho.tif"), (3, 2, 1), Path("ortho.tif")).bands  # (1, 2, 3)
    """
    colors = [interpretation.name for interpretation in file.colorinterp]
    if requested is not None and max(requested) > file.count:
        what = f"the image has {file.count} bands, got band {max(requested)}"
        raise UserError(what, where=path, hint="change --bands")
    bands = requested or _default_bands(colors) or (1,)
    dtypes = {file.dtypes[band - 1] for band in bands}
    if len(dtypes) > 1 or any("complex" in dtype for dtype in dtypes):
        what = f"the kind of pixels is not supported, got bands of {' and '.join(sorted(dtypes))}"
        raise UserError(what, where=path, hint="select others with --bands")
    is_tiff = file.driver == "GTiff"  # in a damaged JPEG 2000 file, GDAL would read these tags forever
    bits = int(file.tags(bands[0], ns="IMAGE_STRUCTURE").get("NBITS", 8)) if is_tiff else 8
    return BandSelection(
        bands=bands[::-1],  # RGB to BGR
        masks=_mask_bands(file, bands, explicit=requested is not None),
        palette=_palette(file, bands[0]) if colors[bands[0] - 1] == "palette" else None,
        maximum=(1 << bits) - 1 if bits < 8 else 255,
        inverted=is_tiff and file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
    )


def _default_bands(colors: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the bands of red, green and blue, or of gray, from the color names of all bands."""
    if {"red", "green", "blue"} <= set(colors):
        return tuple(colors.index(color) + 1 for color in ("red", "green", "blue"))
    not_alpha = tuple(band for band, color in enumerate(colors, 1) if color != _ALPHA)
    return not_alpha[:3] if len(not_alpha) >= 3 else not_alpha[:1]


def _mask_bands(file: Any, bands: Sequence[int], *, explicit: bool) -> tuple[int, ...]:
    """Return the numbers of the bands whose masks are read.

    Alpha does not mask bands that the user selected (``explicit``). Bands with the flag ``per_dataset`` share
    one mask, which is read once.
    """
    flags = {band: {flag.name for flag in file.mask_flag_enums[band - 1]} for band in bands}
    masked = [band for band in bands if "all_valid" not in flags[band] and not (explicit and _ALPHA in flags[band])]
    with_shared_mask = [band for band in masked if "per_dataset" in flags[band]]
    return tuple(with_shared_mask[:1] or masked)


def _palette(file: Any, band: int) -> Image:
    """Return the palette of a band as :attr:`BandSelection.palette`; values without an entry are black."""
    entries = file.colormap(band)
    palette = np.zeros((max(256, len(entries)), 3), np.uint8)
    for value, (red, green, blue, _) in entries.items():
        palette[value] = blue, green, red
    return palette
