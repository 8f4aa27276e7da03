"""The option ``--resolution`` of ``predict``: images resampled to the ground resolution of the training images."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from rotated_atss.errors import UserError, quote

if TYPE_CHECKING:
    from rotated_atss.checkpoints.model_info import ModelInfo
    from rotated_atss.io.image_reader import ImageReader

MATCH = "match"
_TOLERANCE = 0.01  # an image is not resampled if its resolution differs by less than this fraction


def add_resolution_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--resolution``."""
    parser.add_argument(
        "--resolution", metavar="match|METERS",
        help="resample georeferenced images to this ground resolution in meters per pixel, or with match to that of "
        "the training images, which the model file records; sizes of windows are pixels after resampling, boxes are "
        "in pixels of the image (default: no resampling)",
    )  # fmt: skip


def parse_resolution(text: str | None) -> str | float | None:
    """Parse ``--resolution``.

    Raises:
        UserError: The text is neither ``match`` nor a number above 0.

    Example:
        >>> parse_resolution("match"), parse_resolution("0.25"), parse_resolution(None)
        ('match', 0.25, None)
    """
    if text is None or text == MATCH:
        return text
    try:
        meters = float(text)
    except ValueError:
        meters = 0.0
    if not 0 < meters < math.inf:
        what = f"the resolution must be match or meters per pixel above 0, got {quote(text)}"
        raise UserError(what, where="--resolution", hint="for example --resolution 0.25")
    return meters


def target_resolution(text: str | None, info: ModelInfo | None, model: str) -> float | None:
    """Return the meters per pixel to which images are resampled; None without ``--resolution``.

    Args:
        text: Value of ``--resolution``.
        info: Record of the model.
        model: Path of the model, for the error.

    Raises:
        UserError: The value is malformed, or the model does not record its resolution.

    Example:
        >>> target_resolution("0.25", None, "model.pth")
        0.25
    """
    resolution = parse_resolution(text)
    if not isinstance(resolution, str):
        return resolution
    if info is None or info.ground_resolution is None:
        what = "the ground resolution of the training images is not recorded"
        raise UserError(what, where=model, hint="give it in meters per pixel, for example --resolution 0.25")
    return info.ground_resolution


def resampling_rate(image: ImageReader, target: float | None) -> tuple[float, str]:
    """Return the factor by which width and height of an image are resampled, and a line that describes it.

    Args:
        image: An open image.
        target: Meters per pixel; None for no resampling.

    Returns:
        The factor, above 1 if the image is enlarged, and the line, which is empty if the factor is 1.

    Raises:
        UserError: The ground resolution of the image is unknown.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.io.image_reader import ArrayReader
        >>> resampling_rate(ArrayReader(np.zeros((4, 4, 3), np.uint8)), None)
        (1.0, '')
    """
    if target is None:
        return 1.0, ""
    from rotated_atss.geo.ground import ground_resolution

    resolution = ground_resolution(image.georeference, (image.width, image.height))
    if resolution is None:
        what = "the ground resolution is unknown: the image has no georeference with a CRS"
        raise UserError(what, where=image.path, hint="omit --resolution")
    rate = resolution / target
    if abs(rate - 1) < _TOLERANCE:
        return 1.0, ""
    return rate, f"{image.path}: {resolution:.3g} m/px resampled by {rate:.3g} to {target:.3g} m/px"
