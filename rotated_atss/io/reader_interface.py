"""Interface for open images. It reads windows (rectangular regions) of an image as 8-bit color."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import cv2
import numpy as np

from rotated_atss.io.georeference import Georeference
from rotated_atss.io.png import Image

Access = Literal["memory", "tiles", "rows", "sequential"]
_REDUCE_BYTES = 1 << 25  # read_reduced reads about 32 MiB of rows at a time


class ImageReader(ABC):
    """An open image. Use it as a context manager. Processes cannot share it, so each process must open the file itself.

    Attributes:
        path: The file.
        width: Width in pixels, after the EXIF orientation is applied.
        height: Height in pixels, after the EXIF orientation is applied.
        bands: Samples per pixel in the file, including alpha.
        dtype: Name of the NumPy type of a sample in the file, such as ``"uint16"``.
        georeference: Map position of the pixels; None if it is unknown.
        access: Which part of the image must be decoded to read a window:

            - ``memory``: none. The whole image is decoded when it is opened.
            - ``tiles``: the blocks of the file that the window overlaps.
            - ``rows``: the full width of the rows of the window. These rows are kept for the next window, so read
              windows in ascending order of y_start.
            - ``sequential``: all rows from the top of the image to the end of the window, at full width. Read windows
              in ascending order of y_start, as for ``rows``. Dividing the windows among processes saves no time.
    """

    path: Path
    width: int
    height: int
    bands: int = 3
    dtype: str = "uint8"
    georeference: Georeference | None = None
    access: Access = "memory"

    @abstractmethod
    def read(self, window: Sequence[int] | None = None) -> Image:
        """Read a window as (h, w, 3) uint8, BGR.

        Args:
            window: x_start, y_start, x_stop, y_stop inside the image, pixels; None reads the whole image.

        Raises:
            UserError: The pixels cannot be read.
        """

    def iter_rows(self, num_rows: int) -> Iterator[Image]:
        """Yield the whole image from top to bottom in parts of ``num_rows`` rows; the last part can have fewer.

        Yields:
            (num_rows, W, 3) uint8, BGR.

        Raises:
            UserError: The pixels cannot be read.

        Example:
            >>> [len(part) for part in ArrayReader(np.zeros((5, 2, 3), np.uint8)).iter_rows(2)]
            [2, 2, 1]
        """
        for top in range(0, self.height, num_rows):
            yield self.read((0, top, self.width, min(top + num_rows, self.height)))

    def read_reduced(self, factor: int) -> Image:
        """Read the whole image reduced by an integer factor, with only some of its rows in memory.

        Args:
            factor: Side of the blocks of pixels that are averaged. Blocks at the right and the lower border can be
                incomplete (:func:`average_blocks`).

        Returns:
            (ceil(height / factor), ceil(width / factor), 3) uint8, BGR.

        Raises:
            UserError: The pixels cannot be read.

        Example:
            >>> gray = np.array([[1, 2, 9], [3, 6, 9]], np.uint8)
            >>> ArrayReader(np.dstack([gray] * 3)).read_reduced(2)[..., 0].tolist()
            [[3, 9]]
        """
        if factor == 1:
            return self.read()
        num_rows = max(1, _REDUCE_BYTES // (3 * self.width * factor)) * factor  # a multiple of the side of a block
        return np.concatenate([average_blocks(part, factor) for part in self.iter_rows(num_rows)])

    def close(self) -> None:  # noqa: B027 - not abstract, because some readers have nothing to release
        """Release the file."""

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ArrayReader(ImageReader):
    """An image in memory.

    Args:
        image: (H, W, 3), uint8, BGR.
        path: Path of the image for error messages.
    """

    def __init__(self, image: Image, path: str | Path = "image") -> None:
        self.path, self._image = Path(path), image
        self.height, self.width = image.shape[:2]

    def read(self, window: Sequence[int] | None = None) -> Image:
        """Return a view of the pixels."""
        if window is None:
            return self._image
        x_start, y_start, x_stop, y_stop = window
        return self._image[y_start:y_stop, x_start:x_stop]


def average_blocks(image: Image, factor: int) -> Image:
    """Average blocks of pixels; incomplete blocks at the border are filled with copies of the last row and column.

    Args:
        image: (H, W, 3) uint8.
        factor: Side of the blocks, pixels.

    Returns:
        (ceil(H / factor), ceil(W / factor), 3) uint8.

    Example:
        >>> upper_pixel, lower_pixel = [10, 20, 90], [30, 60, 90]
        >>> column = np.array([[upper_pixel], [lower_pixel]], np.uint8)
        >>> average_blocks(column, 2).tolist()
        [[[20, 40, 90]]]
    """
    block_rows, block_columns = (math.ceil(side / factor) for side in image.shape[:2])
    pad_bottom, pad_right = block_rows * factor - image.shape[0], block_columns * factor - image.shape[1]
    if pad_bottom or pad_right:
        image = np.asarray(cv2.copyMakeBorder(image, 0, pad_bottom, 0, pad_right, cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.resize(image, (block_columns, block_rows), interpolation=cv2.INTER_AREA), np.uint8)
