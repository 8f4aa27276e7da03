"""An image at another resolution, resampled window by window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.png import Image
from rotated_atss.io.reader_interface import ImageReader, average_blocks

MIN_RATE, MAX_RATE = 1 / 64, 64.0  # beyond these, resampling is most likely a mistake in the units
_CHUNK_SIDE = 8192  # rows and columns that are resampled at once: cv2.remap has a limit of 32,767


class ResampledReader(ImageReader):
    """An image resampled by a rate; only the pixels that a window needs are read.

    To avoid aliasing, an image is reduced in two steps: blocks of pixels are averaged by the largest possible integer
    factor, then the blocks are resampled bilinearly. The pixels of a window equal those of the whole resampled image.

    Args:
        image: The image to resample. It stays open when this reader is closed.
        rate: Side of the result over side of the image.

    Raises:
        UserError: The rate is out of range.

    Example:
        >>> from rotated_atss.io.reader_interface import ArrayReader
        >>> pixels = np.repeat(np.array([[10, 20, 30, 40]], np.uint8), 2, axis=0)[..., None].repeat(3, axis=2)
        >>> ResampledReader(ArrayReader(pixels), 0.5).read()[..., 0].tolist()
        [[15, 35]]
    """

    def __init__(self, image: ImageReader, rate: float) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            limits = f"{MIN_RATE:g} to {MAX_RATE:g}"
            raise UserError(f"the resampling rate must be {limits}, got {rate:g}", where=image.path)
        self.path, self.bands, self.dtype, self.access = image.path, image.bands, image.dtype, image.access
        self.width, self.height = (max(1, round(side * rate)) for side in (image.width, image.height))
        self._image, self._rate = image, rate
        # side of the averaged blocks in pixels; 1e-9 because 1 / rate can be slightly below an integer
        self._block_size = max(1, math.floor(1 / rate + 1e-9))

    def read(self, window: Sequence[int] | None = None) -> Image:
        """Read a window as (h, w, 3) uint8, BGR."""
        x_start, y_start, x_stop, y_stop = (0, 0, self.width, self.height) if window is None else window
        first_column, stop_column = self._source_range(x_start, x_stop, self._image.width)
        first_row, stop_row = self._source_range(y_start, y_stop, self._image.height)
        stop_column, stop_row = min(stop_column, self._image.width), min(stop_row, self._image.height)
        source = self._image.read([first_column, first_row, stop_column, stop_row])
        blocks = average_blocks(source, self._block_size)
        result = np.empty((y_stop - y_start, x_stop - x_start, 3), np.uint8)
        for row in range(y_start, y_stop, _CHUNK_SIDE):
            rows, y = self._blocks_of_chunk(row, y_stop, first_row)
            for column in range(x_start, x_stop, _CHUNK_SIDE):
                columns, x = self._blocks_of_chunk(column, x_stop, first_column)
                map_x, map_y = np.meshgrid(x, y)
                part = cv2.remap(blocks[rows, columns], map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                result[row - y_start :, column - x_start :][: len(y), : len(x)] = part
        return result

    def _blocks_of_chunk(self, start: int, stop: int, first_pixel: int) -> tuple[slice, np.ndarray]:
        """Return the blocks on which a chunk of the result depends along one axis, and its positions in them.

        Args:
            start: First pixel of the chunk in the result.
            stop: End of the pixels to read; the chunk can be shorter.
            first_pixel: Pixel of the image at which the blocks begin.

        Returns:
            The range of blocks, and for each pixel of the chunk its position in this range, float32.
        """
        pixels = np.arange(start, min(start + _CHUNK_SIDE, stop))
        positions = self._block_position(pixels) - first_pixel // self._block_size
        # the blocks that the interpolation uses and, because positions are rounded to float32, one more on each side
        first_block, stop_block = max(0, math.floor(positions[0]) - 1), math.ceil(positions[-1]) + 2
        return slice(first_block, stop_block), (positions - first_block).astype(np.float32)

    def _block_position(self, pixels: np.ndarray) -> np.ndarray:
        """Convert indices of pixels of the result to fractional indices of the averaged blocks, along one axis.

        The center of a pixel lies at its index + 0.5, and that of a block at the index of the block + 0.5.
        """
        return np.asarray((pixels + 0.5) / (self._rate * self._block_size) - 0.5)

    def _source_range(self, start: int, stop: int, side: int) -> tuple[int, int]:
        """Return the range of source pixels, in whole blocks, on which a range of pixels of the result depends.

        ``side`` is the width or height of the source image. If its last block is incomplete, the range can end beyond
        the image.
        """
        low, high = self._block_position(np.array([start, stop - 1]))
        num_blocks = math.ceil(side / self._block_size)
        # bilinear interpolation at a position p reads the blocks floor(p) and floor(p) + 1
        first_block = min(max(0, math.floor(low)), num_blocks - 1)
        stop_block = min(num_blocks, max(first_block + 1, math.floor(high) + 2))
        return first_block * self._block_size, stop_block * self._block_size
