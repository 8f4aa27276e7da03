"""The option ``--resolution`` of ``predict``: resample images to the ground resolution of the training images."""

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
        help="resample georeferenced images to this ground resolution in meters per pixel; match stands for the ground "
        "resolution of the training images, which is read from the model metadata. --size and --gap are in pixels "
        "after resampling, boxes in pixels of the original image (default: no resampling)",
    )  # fmt: skip


def parse_resolution(text: str | None) -> str | float | None:
    """Parse ``--resolution``.

    Raises:
        UserError: The text is neither ``match`` nor a finite number above 0.

    Example:
        >>> parse_resolution("match"), parse_resolution("0.25"), parse_resolution(None)
        ('match', 0.25, None)
    """
    if text is None or text == MATCH:
        return text
    try:
        meters = float(text)
    except ValueError:
        meters = 0.0  # an invalid value, for which the error below is raised
    if not 0 < meters < math.inf:
        what = f"the resolution must be match or meters per pixel above 0, got {quote(text)}"
        raise UserError(what, where="--resolution", hint="for example --resolution 0.25")
    return meters


def resolve_target_resolution(text: str | None, info: ModelInfo | None, model: str) -> float | None:
    """Return the ground resolution to which images are resampled, in meters per pixel; None without ``--resolution``.

    Args:
        text: Value of ``--resolution``.
        info: Metadata of the model; None if the model has no metadata.
        model: Path of the model, for the error message.

    Raises:
        UserError: The value is malformed, or it is ``match`` and the model metadata has no ground resolution.

    Example:
        >>> resolve_target_resolution("0.25", None, "model.pth")
        0.25
    """
    resolution = parse_resolution(text)
    if not isinstance(resolution, str):
        return resolution
    if info is None or info.ground_resolution is None:
        what = "the model metadata has no ground resolution of the training images"
        raise UserError(what, where=model, hint="give a number of meters per pixel, for example --resolution 0.25")
    return info.ground_resolution


def resampling_rate(image: ImageReader, target: float | None) -> tuple[float, str]:
    """Return the factor by which width and height of an image are multiplied, and a note that describes it.

    Args:
        image: An open image.
        target: Ground resolution to resample to, in meters per pixel; None for no resampling.

    Returns:
        rate: The factor; above 1, the image is enlarged.
        note: Description of the resampling; empty if the rate is 1.

    Raises:
        UserError: ``target`` is given, but the ground resolution of the image is unknown.

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
