"""Read windows of an image at another resolution, without resampling the whole image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.png import Image
from rotated_atss.io.reader_interface import ImageReader, average_blocks

MIN_RATE, MAX_RATE = 1 / 64, 64.0  # A rate outside these limits is most likely a mistake in the units.
_CHUNK_SIDE = 8192  # A window is resampled in chunks, because cv2.remap is limited to 32,767 rows and columns.


class ResampledReader(ImageReader):
    """An image resampled by a rate. To read a window, only the pixels on which the window depends are read.

    To avoid aliasing, an image is reduced in two steps. First, square blocks of pixels are averaged; their side is the
    largest integer that does not exceed 1 / rate. Then the averages are resampled bilinearly. A window has the same
    pixels as the same region of the whole resampled image.

    Args:
        image: The image to resample. It stays open when this reader is closed.
        rate: Width of the result divided by the width of the image; the same for the heights.

    Raises:
        UserError: The rate is out of range.

    Example:
        >>> from rotated_atss.io.reader_interface import ArrayReader
        >>> gray = np.array([[10, 20, 30, 40], [10, 20, 30, 40]], np.uint8)
        >>> ResampledReader(ArrayReader(np.dstack([gray] * 3)), 0.5).read()[..., 0].tolist()
        [[15, 35]]
    """

    def __init__(self, image: ImageReader, rate: float) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            what = f"the resampling rate must be between {MIN_RATE:g} and {MAX_RATE:g}, got {rate:g}"
            raise UserError(what, where=image.path)
        self.path, self.bands, self.dtype, self.access = image.path, image.bands, image.dtype, image.access
        self.width, self.height = (max(1, round(side * rate)) for side in (image.width, image.height))
        self._image, self._rate = image, rate
        # The side of the averaged blocks in pixels. The tolerance 1e-9 is needed because rounding can make 1 / rate
        # slightly smaller than an integer.
        self._block_size = max(1, math.floor(1 / rate + 1e-9))

    def read(self, window: Sequence[int] | None = None) -> Image:
        """Read a window as (h, w, 3) uint8, BGR."""
        x_start, y_start, x_stop, y_stop = (0, 0, self.width, self.height) if window is None else window
        first_column, stop_column = self._source_range(x_start, x_stop, self._image.width)
        first_row, stop_row = self._source_range(y_start, y_stop, self._image.height)
        # The last block can extend beyond the image; average_blocks completes it.
        stop_column, stop_row = min(stop_column, self._image.width), min(stop_row, self._image.height)
        source = self._image.read([first_column, first_row, stop_column, stop_row])
        blocks = average_blocks(source, self._block_size)
        result = np.empty((y_stop - y_start, x_stop - x_start, 3), np.uint8)
        for row in range(y_start, y_stop, _CHUNK_SIDE):
            y_blocks, y_positions = self._blocks_of_chunk(row, y_stop, first_row)
            for column in range(x_start, x_stop, _CHUNK_SIDE):
                x_blocks, x_positions = self._blocks_of_chunk(column, x_stop, first_column)
                map_x, map_y = np.meshgrid(x_positions, y_positions)
                chunk = cv2.remap(
                    blocks[y_blocks, x_blocks], map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )
                top, left = row - y_start, column - x_start
                result[top : top + chunk.shape[0], left : left + chunk.shape[1]] = chunk
        return result

    def _blocks_of_chunk(self, start: int, stop: int, first_pixel: int) -> tuple[slice, np.ndarray]:
        """Return, along one axis, the blocks on which a chunk of the result depends, and where to interpolate in them.

        Args:
            start: First pixel of the chunk in the result.
            stop: End of the window in the result. The chunk ends here at the latest.
            first_pixel: Pixel of the source image at which the first block begins.

        Returns:
            The range of blocks, and for each pixel of the chunk, its position in this range, float32.
        """
        pixels = np.arange(start, min(start + _CHUNK_SIDE, stop))
        positions = self._block_position(pixels) - first_pixel // self._block_size
        # The interpolation uses the blocks from floor(positions[0]) to floor(positions[-1]) + 1. Rounding the positions
        # to float32 can add one block on each side.
        first_block, stop_block = max(0, math.floor(positions[0]) - 1), math.ceil(positions[-1]) + 2
        return slice(first_block, stop_block), (positions - first_block).astype(np.float32)

    def _block_position(self, pixels: np.ndarray) -> np.ndarray:
        """Convert pixel indices of the result to fractional indices of the averaged blocks, along one axis.

        The center of pixel i lies at i + 0.5, and the center of block j at j + 0.5.
        """
        return np.asarray((pixels + 0.5) / (self._rate * self._block_size) - 0.5)

    def _source_range(self, start: int, stop: int, side: int) -> tuple[int, int]:
        """Return, along one axis, the range of source pixels on which the result's pixels ``start`` to ``stop`` depend.

        ``side`` is the width or height of the source image. The range consists of whole blocks. Therefore, if the last
        block of the image is incomplete, the range can end beyond the image.
        """
        low, high = self._block_position(np.array([start, stop - 1]))
        num_blocks = math.ceil(side / self._block_size)
        # Bilinear interpolation at position p reads the blocks floor(p) and floor(p) + 1.
        first_block = min(max(0, math.floor(low)), num_blocks - 1)
        stop_block = min(num_blocks, max(first_block + 1, math.floor(high) + 2))
        return first_block * self._block_size, stop_block * self._block_size
