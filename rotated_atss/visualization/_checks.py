"""Check the arguments of the drawing functions: images, and lists with one entry per polygon or box."""

from collections.abc import Sized
from typing import Any

import numpy as np

from rotated_atss.errors import UserError, count_of
from rotated_atss.io.png import Image


def copy_as_bgr(image: Any) -> Image:
    """Copy a uint8 image, (H, W, 3) BGR or (H, W) gray, to an image (H, W, 3), BGR.

    Raises:
        UserError: The image has another shape or dtype.
    """
    pixels = np.asarray(image)
    is_gray = pixels.ndim == 2
    is_bgr = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (is_gray or is_bgr):
        found = f"{pixels.dtype} of shape {pixels.shape}"
        raise UserError(f"images must be uint8 of shape (H, W, 3) or (H, W), got {found}")
    return np.repeat(pixels[..., None], 3, axis=2) if is_gray else pixels.copy()


def check_count(name: str, values: Sized | None, num_items: int, item: str = "polygon") -> None:
    """Check that there is one value per item, or that ``values`` is None.

    The error message calls the values ``name`` and an item ``item``.

    Raises:
        UserError: The numbers differ.
    """
    if values is not None and len(values) != num_items:
        raise UserError(f"{name} must have one entry per {item}, got {len(values)} for {count_of(num_items, item)}")
