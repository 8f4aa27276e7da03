"""The arguments ``--crop`` and ``--object``: a region of one image instead of the whole image."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.errors import UserError, count_of

if TYPE_CHECKING:
    from rotated_atss.cli._pictures import Layer

Window = tuple[int, int, int, int]  # a region: x_start, y_start, x_stop, y_stop in pixels of the image

# The region around an object is a square. Its side is four times the longest edge of the object, but at least 256 px.
_REGION_SIDE_PER_EDGE, _MIN_REGION_SIDE = 4, 256


def add_crop_arguments(parser: argparse._ActionsContainer) -> None:
    """Add ``--crop`` and ``--object``."""
    region = parser.add_mutually_exclusive_group()
    region.add_argument(
        "--crop", type=int, nargs=4, metavar=("X", "Y", "W", "H"),
        help="draw only this region of one image: left, top, width and height in pixels; the picture is named "
        "<image>_X_Y_W_H.png; if the image format allows it, only the region is read",
    )  # fmt: skip
    region.add_argument(
        "--object", type=int, metavar="N",
        help="draw only the region around box N, counted from 0 in file order; boxes are those of the labels, or of "
        "the detections if there are no labels",
    )  # fmt: skip


def is_cropped(args: argparse.Namespace) -> bool:
    """Return whether a region is selected.

    Example:
        >>> is_cropped(argparse.Namespace(crop=None, object=None))
        False
    """
    return args.crop is not None or args.object is not None


def check_crop_arguments(args: argparse.Namespace, paths: Sequence[Path], max_pixels: int) -> None:
    """Check the values of ``--crop`` and ``--object``.

    Args:
        args: Parsed arguments.
        paths: Images to draw.
        max_pixels: Maximum number of pixels of ``--crop``; :func:`find_window` checks the region around ``--object``.

    Raises:
        UserError: A region is selected for several images, or ``--crop`` is empty, too large, or begins left of or
            above the image.

    Example:
        >>> check_crop_arguments(argparse.Namespace(crop=[0, 0, 9, 0], object=None), [Path("a.png")], 100)
        Traceback (most recent call last):
        rotated_atss.errors.UserError: --crop: width and height must be at least 1, got 9 x 0
    """
    if is_cropped(args) and len(paths) != 1:
        option = "--object" if args.crop is None else "--crop"
        raise UserError(f"needs one image, got {count_of(len(paths), 'image')}", where=option, hint="give one file")
    if args.crop is None:
        return
    x, y, width, height = args.crop
    if min(x, y) < 0:
        raise UserError(f"X and Y must be at least 0, got {x} and {y}", where="--crop")
    if min(width, height) < 1:
        raise UserError(f"width and height must be at least 1, got {width} x {height}", where="--crop")
    _check_region_size(width, height, max_pixels, "--crop")


def _check_region_size(width: int, height: int, max_pixels: int, option: str) -> None:
    if width * height > max_pixels:
        limit = f"{max_pixels // 1_000_000} megapixels"
        raise UserError(f"a region can have at most {limit}, got {width} x {height} px", where=option)


def find_window(
    args: argparse.Namespace, image_wh: tuple[int, int], layers: Sequence[Layer], max_pixels: int
) -> Window | None:
    """Return the selected region, clipped to the image; None for the whole image.

    Args:
        args: Parsed arguments.
        image_wh: Width and height of the image in pixels.
        layers: Boxes on the image. If there are labels, their layer is the first. ``--object`` is the index of a box in
            the first layer.
        max_pixels: Maximum number of pixels of the region around ``--object``.

    Raises:
        UserError: The region begins outside the image, the first layer has no box with the index ``--object``, or the
            region around this box is too large.

    Example:
        >>> find_window(argparse.Namespace(crop=[90, 0, 50, 50], object=None), (100, 80), [], max_pixels=5000)
        (90, 0, 100, 50)
    """
    if args.object is not None:
        left, top, right, bottom = _window_around(args.object, image_wh, layers[0])
        _check_region_size(right - left, bottom - top, max_pixels, "--object")
        return left, top, right, bottom
    if args.crop is None:
        return None
    x, y, width, height = args.crop
    if x >= image_wh[0] or y >= image_wh[1]:
        size = f"{image_wh[0]} x {image_wh[1]} px"
        raise UserError(f"the region begins outside the image of {size}, got X {x} and Y {y}", where="--crop")
    return x, y, min(x + width, image_wh[0]), min(y + height, image_wh[1])


def _window_around(object_index: int, image_wh: tuple[int, int], layer: Layer) -> Window:
    """Return a square around a box, shifted into the image. A square larger than the image is clipped."""
    import numpy as np

    count = len(layer.names)
    if not 0 <= object_index < count:
        indices = f" (indices 0 to {count - 1})" if count else ""
        message = f"no box has the index {object_index}: the image has {count_of(count, 'box')}{indices}"
        raise UserError(message, where="--object")
    corners = np.asarray(layer.polygons[object_index], np.float64).reshape(4, 2)
    edges = corners - np.roll(corners, 1, 0)  # (4, 2) x and y components
    longest_edge = float(np.hypot(edges[:, 0], edges[:, 1]).max())
    region_side = max(_MIN_REGION_SIDE, round(_REGION_SIDE_PER_EDGE * longest_edge))
    center_xy = (corners.min(0) + corners.max(0)) / 2
    starts, stops = [], []  # for each axis: first x, then y
    for center, image_side in zip(center_xy.tolist(), image_wh):
        centered_start = round(center - region_side / 2)
        last_start = max(0, image_side - region_side)  # a later start would move the region beyond the image
        start = min(max(0, centered_start), last_start)
        starts.append(start)
        stops.append(min(start + region_side, image_side))
    return starts[0], starts[1], stops[0], stops[1]


def crop_layer(layer: Layer, window: Window) -> Layer:
    """Select the boxes whose circumscribed horizontal box overlaps a region, and shift them to the region's origin.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.cli._pictures import Layer
        >>> polygons = np.array([[5.0, 5, 9, 5, 9, 9, 5, 9], [50, 50, 60, 50, 60, 60, 50, 60]])
        >>> cropped = crop_layer(Layer(polygons, ["ship", "car"]), (40, 40, 80, 80))
        >>> cropped.names, cropped.polygons[0, :2].tolist()
        (['car'], [10.0, 10.0])
    """
    import numpy as np

    corners = np.asarray(layer.polygons, np.float64).reshape(-1, 4, 2)
    overlaps = ((corners.max(1) > window[:2]) & (corners.min(1) < window[2:])).all(1)
    rows = np.flatnonzero(overlaps)
    scores = None if layer.scores is None else np.asarray(layer.scores)[rows]
    polygons = (corners[rows] - np.array(window[:2])).reshape(-1, 8)
    return replace(layer, polygons=polygons, names=[layer.names[row] for row in rows.tolist()], scores=scores)


def window_path(path: Path, window: Window | None) -> Path:
    """Append the region, as X, Y, width and height, to the file name of a picture; None returns the path unchanged.

    Example:
        >>> window_path(Path("out/P1.png"), (10, 20, 110, 220)).name
        'P1_10_20_100_200.png'
    """
    if window is None:
        return path
    x, y, x_stop, y_stop = window
    return path.with_name(f"{path.stem}_{x}_{y}_{x_stop - x}_{y_stop - y}{path.suffix}")
