"""Select the color bands, the masks and the palette with which rasterio reads an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError, count_of

_ALPHA = "alpha"


@dataclass(frozen=True)
class BandSelection:
    """The bands to read, and how their values are converted to colors.

    Attributes:
        bands: Numbers, counted from 1, of the blue, green and red bands, or of the gray band.
        mask_bands: Numbers of the bands whose masks are read. A pixel has data if any of these masks marks it as valid.
        palette: (N, 3) uint8, BGR: row v is the color of pixels with the value v. None without a palette.
        max_value: The value that is scaled to 255: the largest value of bands with fewer than 8 bits, 255 for others.
        zero_is_white: Whether the file stores inverted gray values, with 0 for white.
    """

    bands: tuple[int, ...]
    mask_bands: tuple[int, ...]
    palette: NDArray[np.uint8] | None = None
    max_value: int = 255
    zero_is_white: bool = False


def select_bands(dataset: Any, requested: tuple[int, ...] | None, path: Path) -> BandSelection:
    """Select the bands of an image, and find out how they are masked and converted.

    Args:
        dataset: An open rasterio dataset.
        requested: Numbers, counted from 1, of the red, green and blue bands, or of the gray band. None selects these
            bands by the color interpretation that the file gives for each band.
        path: Path of the image, for errors.

    Raises:
        UserError: The image does not have a requested band, or the bands have types that cannot be converted.

    Example::

        select_bands(rasterio.open("ortho.tif"), (3, 2, 1), Path("ortho.tif")).bands  # (1, 2, 3)
    """
    colors = [interpretation.name for interpretation in dataset.colorinterp]  # names such as "red", one per band
    if requested is not None and max(requested) > dataset.count:
        what = f"the image has no band {max(requested)}, only {count_of(dataset.count, 'band')}"
        raise UserError(what, where=path, hint="change --bands")
    bands = requested or _default_bands(colors) or (1,)  # band 1 if all bands are alpha
    dtypes = {dataset.dtypes[band - 1] for band in bands}
    if len(dtypes) > 1 or any("complex" in dtype for dtype in dtypes):
        what = f"the pixel format is not supported, got bands of {' and '.join(sorted(dtypes))}"
        raise UserError(what, where=path, hint="select other bands with --bands")
    # The tags NBITS and MINISWHITE are read only from TIFF files. GDAL would not return from reading the tags of a
    # damaged JPEG 2000 file.
    is_tiff = dataset.driver == "GTiff"
    bits = int(dataset.tags(bands[0], ns="IMAGE_STRUCTURE").get("NBITS", 8)) if is_tiff else 8
    return BandSelection(
        bands=bands[::-1],  # RGB to BGR
        mask_bands=_select_mask_bands(dataset, bands, are_requested=requested is not None),
        palette=_read_palette(dataset, bands[0]) if colors[bands[0] - 1] == "palette" else None,
        max_value=(1 << bits) - 1 if bits < 8 else 255,
        zero_is_white=is_tiff and dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
    )


def _default_bands(colors: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the red, green and blue bands, or of the gray band, from the color names of all bands.

    If one of the colors red, green and blue is missing, return the first three bands other than alpha, or the first one
    if there are fewer than three. The result is empty if all bands are alpha.
    """
    if {"red", "green", "blue"} <= set(colors):
        return tuple(colors.index(color) + 1 for color in ("red", "green", "blue"))
    not_alpha = tuple(band for band, color in enumerate(colors, 1) if color != _ALPHA)
    return not_alpha[:3] if len(not_alpha) >= 3 else not_alpha[:1]


def _select_mask_bands(dataset: Any, bands: Sequence[int], *, are_requested: bool) -> tuple[int, ...]:
    """Return the numbers of the bands whose masks are read.

    Alpha does not mask bands that the user requested. Bands whose mask has GDAL's flag ``per_dataset`` share one mask,
    which is read once.
    """
    flags = {band: {flag.name for flag in dataset.mask_flag_enums[band - 1]} for band in bands}
    ignored_flags = {"all_valid", _ALPHA} if are_requested else {"all_valid"}
    masked = [band for band in bands if not flags[band] & ignored_flags]
    with_shared_mask = [band for band in masked if "per_dataset" in flags[band]]
    return tuple(with_shared_mask[:1] or masked)


def _read_palette(dataset: Any, band: int) -> NDArray[np.uint8]:
    """Return a band's palette in the format of :attr:`BandSelection.palette`. Values without an entry are black."""
    entries = dataset.colormap(band)
    palette = np.zeros((max(256, len(entries)), 3), np.uint8)
    for value, (red, green, blue, _) in entries.items():
        palette[value] = blue, green, red
    return palette
