"""Write thumbnails of the best and worst images of a report, with boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write
from rotated_atss.io.image_reader import open_image
from rotated_atss.io.images import Image, encode_image
from rotated_atss.report.page_names import PageNames
from rotated_atss.report.viewer_data import ViewerDetection, ViewerImage, ViewerObject

# The longer side of a thumbnail has at most this number of pixels.
MAX_SIDE_PX = 720
# Folder of the thumbnails in the folder of the report.
FOLDER = "thumbnails"
# RGB colors of the states, as in viewer_draw.js. Boxes are drawn in this order of states: false positives are on top.
_COLORS = {"tp": (86, 180, 233), "missed": (240, 228, 66), "fp": (255, 112, 51)}
_MANY_BOXES = 150  # if an image has more boxes, their lines are one pixel wide instead of two


def write_thumbnails(images: Iterable[ViewerImage], out: Path) -> dict[str, str]:
    """Write a thumbnail of each image, with true positives, false positives and missed objects.

    An image that cannot be read is left out.

    Args:
        images: The images with their boxes.
        out: Folder of the report; the thumbnails are written to ``out/thumbnails``.

    Returns:
        URLs of the thumbnails by image id, relative to ``out``.

    Raises:
        UserError: A thumbnail cannot be written.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.zeros((20, 30, 3), np.uint8))
        ...     write_thumbnails([ViewerImage("P1", Path(folder, "P1.png"))], Path(folder, "report"))
        {'P1': 'thumbnails/P1.jpg'}
    """
    page_names = PageNames()
    urls: dict[str, str] = {}
    for image in images:
        url = f"{FOLDER}/{page_names.add(image.image_id)}.jpg"
        try:
            with open_image(image.path) as reader:
                # The factor must be an integer, because read_reduced averages blocks of factor x factor pixels.
                factor = math.ceil(max(reader.width, reader.height) / MAX_SIDE_PX)
                pixels = reader.read_reduced(factor)
        except UserError:
            continue
        atomic_write(out / url, encode_image(_draw_boxes(pixels, image, factor), "jpg"))
        urls[image.image_id] = url
    return urls


def _draw_boxes(pixels: Image, image: ViewerImage, factor: int) -> Image:
    """Draw the boxes of an image on a thumbnail.

    Args:
        pixels: The thumbnail.
        image: The image with its boxes, in pixels of the full image.
        factor: Width of the full image divided by the width of the thumbnail.
    """
    from rotated_atss.visualization.drawing import draw_boxes

    boxes: list[ViewerObject | ViewerDetection] = [box for box in image.objects if box.state == "missed"]
    boxes += image.detections
    thickness = 1 if len(boxes) > _MANY_BOXES else 2
    for state, color in _COLORS.items():
        polygons = np.array([box.polygon for box in boxes if box.state == state], np.float64).reshape(-1, 8)
        pixels = draw_boxes(
            pixels, polygons / factor, colors=[color] * len(polygons), thickness=thickness, box_only=True
        )
    return pixels
