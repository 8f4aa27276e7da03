"""Combine several images into one: contact sheets and side-by-side pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.png import Image
from rotated_atss.visualization._checks import check_count, copy_as_bgr
from rotated_atss.visualization.text_boxes import ascii_text

_BACKGROUND = 24  # gray value, 0 to 255
_TITLE_HEIGHT = 18  # pixels


def contact_sheet(
    images: Sequence[Image],
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    cell_wh: tuple[int, int] = (480, 400),
    gap: int = 6,
) -> Image:
    """Arrange images in a grid. Each image is resized to fit into a cell and keeps its aspect ratio.

    Args:
        images: At least one image, (H, W, 3), uint8, BGR; their sizes can differ.
        titles: One title per image, written above the image; None writes no titles.
        columns: Number of columns; None makes about as many columns as rows.
        cell_wh: Width and height of a cell, pixels.
        gap: Pixels between cells, and around the grid.

    Returns:
        The sheet, (H, W, 3), uint8, BGR.

    Raises:
        UserError: There is no image, or the number of titles is not the number of images.

    Example:
        >>> import numpy as np
        >>> images = [np.zeros((50, 100, 3), np.uint8), np.zeros((80, 40, 3), np.uint8)]
        >>> contact_sheet(images, columns=2, cell_wh=(60, 40), gap=4).shape
        (48, 132, 3)
    """
    if not images:
        raise UserError("a contact sheet needs at least one image, got none")
    check_count("titles", titles, len(images), "image")
    columns = columns or math.ceil(math.sqrt(len(images)))
    title_height = _TITLE_HEIGHT if titles else 0
    cell_width, cell_height = cell_wh
    rows = math.ceil(len(images) / columns)
    sheet_hw = gap + rows * (title_height + cell_height + gap), gap + columns * (cell_width + gap)
    sheet = np.full((*sheet_hw, 3), _BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        left, title_top = gap + column * (cell_width + gap), gap + row * (title_height + cell_height + gap)
        if titles:
            text, baseline_start = ascii_text(titles[index]), (left + 2, title_top + 13)
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(sheet, text, baseline_start, font, 0.42, (230, 230, 230), 1, cv2.LINE_AA)
        cell_top = title_top + title_height
        _fit_into(sheet[cell_top : cell_top + cell_height, left : left + cell_width], copy_as_bgr(image))
    return sheet


def side_by_side(left: Image, right: Image, gap: int = 6) -> Image:
    """Join two images of the same size, (H, W, 3), with a dark strip of ``gap`` pixels between them.

    Raises:
        UserError: The sizes differ.

    Example:
        >>> import numpy as np
        >>> side_by_side(np.zeros((4, 5, 3), np.uint8), np.ones((4, 5, 3), np.uint8), gap=2).shape
        (4, 12, 3)
    """
    first, second = copy_as_bgr(left), copy_as_bgr(right)
    if first.shape != second.shape:
        raise UserError(f"images side by side must have the same size, got {first.shape} and {second.shape}")
    strip = np.full((first.shape[0], gap, 3), _BACKGROUND, np.uint8)
    return np.concatenate([first, strip, second], axis=1)


def _fit_into(cell: Image, image: Image) -> None:
    """Resize an image to fit into a cell, keep its aspect ratio, and write it into the middle of the cell."""
    scale = min(cell.shape[0] / image.shape[0], cell.shape[1] / image.shape[1])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    # Small images are enlarged without blurring, so that their pixels can be seen.
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    resized = cv2.resize(image, (width, height), interpolation=interpolation)
    top, left = (cell.shape[0] - height) // 2, (cell.shape[1] - width) // 2
    cell[top : top + height, left : left + width] = resized
