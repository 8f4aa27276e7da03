"""Flip, rotate and resize boxes together with their image.

Oriented boxes are ``cx, cy, w, h, angle`` in pixels and radians, clockwise on the image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rotated_atss.ops.boxes import HALF_PI, normalize_obb, obb_to_corners, poly_to_obb
from rotated_atss.ops.dtypes import upcast

FLIP_DIRECTIONS = ("horizontal", "vertical", "diagonal")


def flip_obb(boxes: Tensor, image_wh: tuple[float, float], direction: str, angle_version: str | None = None) -> Tensor:
    """Flip oriented boxes together with their image.

    Args:
        boxes: (..., 5).
        image_wh: Width and height of the image in pixels.
        direction: ``horizontal`` (left-right), ``vertical`` (up-down) or ``diagonal`` (both, a half turn).
        angle_version: Angle version of the result. If it is None, the angle is not normalized.

    Returns:
        (..., 5).

    Raises:
        ValueError: ``direction`` is unknown.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_transforms import flip_obb
        >>> flip_obb(torch.tensor([10.0, 20.0, 6.0, 4.0, 0.5]), (100, 50), "horizontal")
        tensor([90.0000, 20.0000,  6.0000,  4.0000, -0.5000])
    """
    _check_direction(direction)
    cx, cy, w, h, angle = upcast(boxes).unbind(-1)
    if direction in ("horizontal", "diagonal"):
        cx, angle = image_wh[0] - cx, -angle
    if direction in ("vertical", "diagonal"):
        cy, angle = image_wh[1] - cy, -angle
    flipped = torch.stack((cx, cy, w, h, angle), -1)
    return flipped if angle_version is None else normalize_obb(flipped, angle_version)


def clamp_centers(boxes: Tensor, image_hw: Tensor) -> Tensor:
    """Clamp the centers of oriented boxes to an image, as mmrotate's box coders do.

    The upper limits are those of pixel indices, ``width - 1`` and ``height - 1``. Sizes and angles do not change, so a
    clamped box covers a different region.

    Args:
        boxes: (..., 5).
        image_hw: (2,) height and width in pixels, or (..., 2), one per box.

    Returns:
        (..., 5) with ``0 <= cx <= width - 1`` and ``0 <= cy <= height - 1``.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_transforms import clamp_centers
        >>> clamp_centers(torch.tensor([-3.0, 70.0, 8.0, 4.0, 0.5]), torch.tensor([64, 96]))
        tensor([ 0.0000, 63.0000,  8.0000,  4.0000,  0.5000])
    """
    boxes = upcast(boxes)
    max_xy = (image_hw.flip(-1) - 1).to(boxes)
    centers = torch.minimum(boxes[..., :2].clamp(min=0), max_xy)
    return torch.cat((centers, boxes[..., 2:]), -1)


def flip_hbb(boxes: Tensor, image_wh: tuple[float, float], direction: str) -> Tensor:
    """Flip horizontal boxes together with their image.

    Args:
        boxes: (..., 4) ``x1, y1, x2, y2``.
        image_wh: Width and height of the image in pixels.
        direction: As in :func:`flip_obb`.

    Returns:
        (..., 4).

    Raises:
        ValueError: ``direction`` is unknown.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_transforms import flip_hbb
        >>> flip_hbb(torch.tensor([10.0, 20.0, 30.0, 25.0]), (100, 50), "horizontal")
        tensor([70., 20., 90., 25.])
    """
    _check_direction(direction)
    x1, y1, x2, y2 = boxes.unbind(-1)
    if direction in ("horizontal", "diagonal"):
        x1, x2 = image_wh[0] - x2, image_wh[0] - x1
    if direction in ("vertical", "diagonal"):
        y1, y2 = image_wh[1] - y2, image_wh[1] - y1
    return torch.stack((x1, y1, x2, y2), -1)


def _check_direction(direction: str) -> None:
    if direction not in FLIP_DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(FLIP_DIRECTIONS)}, got {direction!r}")


def rot90_obb(boxes: Tensor, image_wh: tuple[float, float], turns: int = 1, angle_version: str | None = None) -> Tensor:
    """Rotate oriented boxes together with their image by quarter turns clockwise (``np.rot90`` with ``k=-turns``).

    Args:
        boxes: (..., 5).
        image_wh: Width and height of the image before the rotation, in pixels.
        turns: Number of quarter turns clockwise; negative values rotate counterclockwise.
        angle_version: Angle version of the result. If it is None, the angle is not normalized: it increases by
            ``turns % 4`` times pi/2.

    Returns:
        (..., 5).

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_transforms import rot90_obb
        >>> rot90_obb(torch.tensor([10.0, 20.0, 6.0, 4.0, 0.0]), (100, 50))
        tensor([30.0000, 10.0000,  6.0000,  4.0000,  1.5708])
    """
    cx, cy, w, h, angle = upcast(boxes).unbind(-1)
    width, height = image_wh
    for _ in range(turns % 4):
        cx, cy, angle = height - cy, cx, angle + HALF_PI
        width, height = height, width
    rotated = torch.stack((cx, cy, w, h, angle), -1)
    return rotated if angle_version is None else normalize_obb(rotated, angle_version)


def rot90_hbb(boxes: Tensor, image_wh: tuple[float, float], turns: int = 1) -> Tensor:
    """Rotate horizontal boxes together with their image by quarter turns clockwise.

    Args:
        boxes: (..., 4) ``x1, y1, x2, y2``.
        image_wh: Width and height of the image before the rotation, in pixels.
        turns: As in :func:`rot90_obb`.

    Returns:
        (..., 4).

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_transforms import rot90_hbb
        >>> rot90_hbb(torch.tensor([10.0, 20.0, 30.0, 25.0]), (100, 50))
        tensor([25., 10., 30., 30.])
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = image_wh
    for _ in range(turns % 4):
        x1, y1, x2, y2 = height - y2, x1, height - y1, x2
        width, height = height, width
    return torch.stack((x1, y1, x2, y2), -1)


def rotate_obb(
    boxes: Tensor, center_xy: tuple[float, float], angle_rad: float, angle_version: str | None = None
) -> Tensor:
    """Rotate oriented boxes around a point.

    Args:
        boxes: (..., 5).
        center_xy: Center of the rotation in pixels.
        angle_rad: Rotation in radians, clockwise on the image.
        angle_version: Angle version of the result. If it is None, angles are not normalized: they increase by
            ``angle_rad``.

    Returns:
        (..., 5).

    Example:
        >>> import math, torch
        >>> from rotated_atss.ops.box_transforms import rotate_obb
        >>> rotate_obb(torch.tensor([10.0, 0.0, 6.0, 4.0, 0.0]), (0, 0), math.pi / 6)
        tensor([8.6603, 5.0000, 6.0000, 4.0000, 0.5236])
    """
    cx, cy, w, h, angle = upcast(boxes).unbind(-1)
    dx, dy = cx - center_xy[0], cy - center_xy[1]
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    rotated_cx = center_xy[0] + cos * dx - sin * dy
    rotated_cy = center_xy[1] + sin * dx + cos * dy
    rotated = torch.stack((rotated_cx, rotated_cy, w, h, angle + angle_rad), -1)
    return rotated if angle_version is None else normalize_obb(rotated, angle_version)


def scale_obb(boxes: Tensor, scale_xy: tuple[float, float], angle_version: str | None = None) -> Tensor:
    """Resize oriented boxes together with their image.

    Unequal factors turn a rectangle into a parallelogram; its minimum-area rectangle is returned.

    Args:
        boxes: (..., 5).
        scale_xy: New size over old size, horizontally and vertically.
        angle_version: Angle version of the result. If it is None, equal factors keep the angle, and unequal factors
            give ``le90``.

    Returns:
        (..., 5).

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_transforms import scale_obb
        >>> scale_obb(torch.tensor([10.0, 20.0, 6.0, 4.0, 0.5]), (0.5, 0.5))
        tensor([ 5.0000, 10.0000,  3.0000,  2.0000,  0.5000])
    """
    sx, sy = scale_xy
    boxes = upcast(boxes)
    if sx == sy:
        scaled = torch.cat((boxes[..., :4] * sx, boxes[..., 4:]), -1)
        return scaled if angle_version is None else normalize_obb(scaled, angle_version)
    corners = obb_to_corners(boxes) * boxes.new_tensor((sx, sy))
    return poly_to_obb(corners.flatten(-2), angle_version or "le90")


def rescale_inclusive_boxes(boxes: Tensor, scale_factor: tuple[float, float]) -> Tensor:
    """Scale boxes to the original image as the official ATSS repository does.

    The repository stores a box as the indices of its first and last pixel, and divides these by the scale. Here, ``x2``
    and ``y2`` are the index of the last pixel plus 1, so the 1 is subtracted before the division and added after it.

    Args:
        boxes: (N, 4) ``x1, y1, x2, y2`` in the network input.
        scale_factor: Size of the network input over size of the original image, horizontally and vertically.

    Returns:
        (N, 4).

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_transforms import rescale_inclusive_boxes
        >>> rescale_inclusive_boxes(torch.tensor([[30.0, 15.0, 31.0, 16.0]]), (1.5, 3.0))
        tensor([[20.,  5., 21.,  6.]])
    """
    offset = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    pixel_indices = boxes - offset
    return pixel_indices / boxes.new_tensor([*scale_factor, *scale_factor]) + offset
