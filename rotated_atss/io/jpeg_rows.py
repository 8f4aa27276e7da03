"""Rows of a large baseline JPEG file, decoded forwards with libvips, whose pixels are those of OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.image_header import damaged_image
from rotated_atss.io.png import Image
from rotated_atss.io.requirements import require

_ROWS_AT_ONCE = 64


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
        self._vips.cache_set_max(0)  # operations are not repeated
        self._file = path.open("rb")
        self._next, self._image, self._region = 0, *self._open()
        self.width, self.height = self._image.width, self._image.height

    def read(self, start: int, stop: int) -> Image:
        """Read rows as (stop - start, W, 3) uint8, BGR. Rows above the last ones are decoded again from the first.

        Raises:
            UnreadableImageError: The file is truncated or damaged.
        """
        if start < self._next:
            self._image, self._region = self._open()
        self._next = stop
        to_bgr = cv2.COLOR_GRAY2BGR if self._image.bands == 1 else cv2.COLOR_RGB2BGR
        image = np.empty((stop - start, self.width, 3), np.uint8)
        for first in range(start, stop, _ROWS_AT_ONCE):
            rows = self._fetch(first, min(first + _ROWS_AT_ONCE, stop))
            cv2.cvtColor(rows, to_bgr, dst=image[first - start : first - start + len(rows)])
        return image

    def close(self) -> None:
        """Close the file."""
        self._image = self._region = None
        self._file.close()

    def _open(self) -> tuple[Any, Any]:
        """Return the image and its pixels at the first row."""
        self._file.seek(0)
        source = self._vips.SourceCustom()  # libvips would map a file into memory, which counts as memory in use
        source.on_read(self._file.read)
        source.on_seek(self._file.seek)
        with self._reporting():
            image = self._vips.Image.new_from_source(source, "", access="sequential", fail_on="warning")
            return image, self._vips.Region.new(image)

    def _fetch(self, start: int, stop: int) -> NDArray[np.uint8]:
        with self._reporting():
            data = self._region.fetch(0, start, self.width, stop - start)
        return np.frombuffer(data, np.uint8).reshape(stop - start, self.width, -1)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn errors of libvips into one line that names the file."""
        try:
            yield
        except self._vips.Error as error:
            raise damaged_image(self._path) from error


def has_vips() -> bool:
    """Return whether libvips is installed.

    Example:
        >>> has_vips() in (True, False)
        True
    """
    return find_spec("pyvips") is not None
