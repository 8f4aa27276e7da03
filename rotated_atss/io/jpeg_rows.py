"""Rows of a large JPEG file, decoded from top to bottom with libvips; the pixels equal those of OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.image_header import damaged_image_error
from rotated_atss.io.png import Image
from rotated_atss.io.requirements import require

_ROWS_AT_ONCE = 64  # rows per call of libvips. The number is small because libvips returns a copy of the rows


class JpegRows:
    """Rows of a gray or color JPEG file that is not progressive.

    Args:
        path: The file.

    Example::

        rows = JpegRows(Path("ortho.jpg"))
        rows.read(0, 1024).shape
    """

    def __init__(self, path: Path) -> None:
        self._path, self._vips = path, require("pyvips", extra="geo")
        self._vips.cache_set_max(0)  # libvips need not cache results, because no operation is repeated
        self._file = path.open("rb")
        self._image, self._region = self._open()
        self._next_row = 0  # the row after the last decoded one
        self.width, self.height = self._image.width, self._image.height

    def read(self, start: int, stop: int) -> Image:
        """Read rows as (stop - start, W, 3) uint8, BGR.

        If ``start`` is less than ``stop`` of the previous call, the file is decoded again from its first row.

        Raises:
            UnreadableImageError: The file is truncated or damaged.
        """
        if start < self._next_row:
            self._image, self._region = self._open()
        self._next_row = stop
        to_bgr = cv2.COLOR_GRAY2BGR if self._image.bands == 1 else cv2.COLOR_RGB2BGR
        pixels = np.empty((stop - start, self.width, 3), np.uint8)
        for first in range(start, stop, _ROWS_AT_ONCE):
            rows = self._fetch(first, min(first + _ROWS_AT_ONCE, stop))
            cv2.cvtColor(rows, to_bgr, dst=pixels[first - start : first - start + len(rows)])
        return pixels

    def close(self) -> None:
        """Close the file."""
        self._image = self._region = None
        self._file.close()

    def _open(self) -> tuple[Any, Any]:
        """Open the image at its first row. Return the image, and the region from which its pixels are fetched."""
        self._file.seek(0)
        source = self._vips.SourceCustom()  # opening a path instead would map the whole file into memory
        source.on_read(self._file.read)
        source.on_seek(self._file.seek)
        with self._translate_errors():
            # libvips reports a truncated file as a warning only, so warnings must raise an error
            image = self._vips.Image.new_from_source(source, "", access="sequential", fail_on="warning")
            return image, self._vips.Region.new(image)

    def _fetch(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return rows as (stop - start, W, bands), gray or RGB."""
        with self._translate_errors():
            data = self._region.fetch(0, start, self.width, stop - start)
        return np.frombuffer(data, np.uint8).reshape(stop - start, self.width, -1)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Convert an error that libvips raises in this block to a one-line error that names the file."""
        try:
            yield
        except self._vips.Error as error:
            raise damaged_image_error(self._path) from error


def has_vips() -> bool:
    """Return whether libvips is installed.

    Example:
        >>> has_vips() in (True, False)
        True
    """
    return find_spec("pyvips") is not None
