"""Box type ``obb`` for MMDetection's pipelines, implemented with the box functions of :mod:`rotated_atss.ops`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes, register_box, register_box_converter
from torch import Tensor

from rotated_atss.ops import box_transforms, rotated_iou
from rotated_atss.ops import boxes as box_ops


@register_box("obb")
class OrientedBoxes(BaseBoxes):
    """Oriented boxes ``(cx, cy, w, h, angle)`` for MMDetection's pipelines.

    Coordinates are in pixels, angles in radians, clockwise on the image, in any angle version.

    Example:
        >>> boxes = OrientedBoxes(torch.tensor([[30.0, 20.0, 8.0, 4.0, 0.0]]))
        >>> boxes.translate_((-10, 0))
        >>> boxes.convert_to("hbox").tensor
        tensor([[16., 18., 24., 22.]])
    """

    box_dim = 5
    tensor: Tensor  # (..., 5)

    @property
    def centers(self) -> Tensor:
        """Return the centers (..., 2)."""
        return self.tensor[..., :2]

    @property
    def areas(self) -> Tensor:
        """Return the areas (...)."""
        return self.tensor[..., 2] * self.tensor[..., 3]

    @property
    def widths(self) -> Tensor:
        """Return the widths (...)."""
        return self.tensor[..., 2]

    @property
    def heights(self) -> Tensor:
        """Return the heights (...)."""
        return self.tensor[..., 3]

    def flip_(self, img_shape: tuple[int, int], direction: str = "horizontal") -> None:
        """Flip the boxes together with their image, whose shape is (height, width)."""
        self.tensor = box_transforms.flip_obb(self.tensor, (img_shape[1], img_shape[0]), direction)

    def translate_(self, distances: tuple[float, float]) -> None:
        """Translate the boxes by (x, y) pixels."""
        self.tensor[..., :2] += self.tensor.new_tensor(distances)

    def clip_(self, img_shape: tuple[int, int]) -> None:
        """Do nothing: a clipped oriented box is not rectangular, and the boxes of truncated objects stay whole."""

    def rotate_(self, center: tuple[float, float], angle: float) -> None:
        """Rotate the boxes about ``center`` by ``angle`` degrees, clockwise on the image."""
        self.tensor = box_transforms.rotate_obb(self.tensor, center, float(np.deg2rad(angle)))

    def project_(self, homography_matrix: Tensor | np.ndarray) -> None:
        """Map the corners by a (3, 3) homography and take their minimum-area rectangles."""
        matrix = torch.as_tensor(homography_matrix).cpu().double()  # on the CPU, because mps has no float64
        corners = box_ops.obb_to_corners(self.tensor.cpu().double())
        homogeneous = torch.cat((corners, torch.ones_like(corners[..., :1])), -1) @ matrix.T  # (..., 4, 3)
        mapped_corners = homogeneous[..., :2] / homogeneous[..., 2:]
        self.tensor = box_ops.poly_to_obb(mapped_corners.flatten(-2)).to(self.tensor)

    def rescale_(self, scale_factor: tuple[float, float]) -> None:
        """Scale the boxes together with their image, by the factors (x, y)."""
        scale_x, scale_y = scale_factor
        self.tensor = box_transforms.scale_obb(self.tensor, (scale_x, scale_y))

    def resize_(self, scale_factor: tuple[float, float]) -> None:
        """Scale widths and heights; the centers do not move."""
        self.tensor[..., 2:4] *= self.tensor.new_tensor(scale_factor)

    def is_inside(self, img_shape: tuple[int, int], all_inside: bool = False, allowed_border: int = 0) -> Tensor:
        """Check whether the circumscribed horizontal boxes overlap the image or, with ``all_inside``, lie inside it.

        The documentation of MMDetection's ``BaseBoxes`` specifies these two checks. ``RotatedBoxes`` of mmrotate
        instead checks whether the center lies in the image, regardless of ``all_inside``.

        Args:
            img_shape: (height, width) of the image.
            all_inside: Whether the whole circumscribed box must lie inside the image.
            allowed_border: Pixels by which the image is enlarged on each side.

        Returns:
            (...) bool.
        """
        top_left, bottom_right = box_ops.obb_to_hbb(self.tensor).split(2, -1)
        size = self.tensor.new_tensor((img_shape[1], img_shape[0]))
        if all_inside:
            return (top_left >= -allowed_border).all(-1) & (bottom_right < size + allowed_border).all(-1)
        return (top_left < size + allowed_border).all(-1) & (bottom_right > -allowed_border).all(-1)

    def find_inside_points(self, points: Tensor, is_aligned: bool = False) -> Tensor:
        """Check which of the points (P, 2) lie in which of the boxes (N, 5): (P, N) bool.

        With ``is_aligned``, check only whether each point lies in the box of the same index: (N,) bool.
        """
        return box_ops.points_in_obb(points if is_aligned else points[:, None], self.tensor)

    @staticmethod
    def overlaps(
        boxes1: BaseBoxes, boxes2: BaseBoxes, mode: str = "iou", is_aligned: bool = False, eps: float = 1e-6
    ) -> Tensor:
        """Compute the rotated IoU or IoF of boxes of any type: (N, M), or (N,) for aligned boxes; ``eps`` is unused."""
        first, second = boxes1.convert_to("obb").tensor, boxes2.convert_to("obb").tensor
        return rotated_iou(first, second, aligned=is_aligned, mode=mode)

    @staticmethod
    def from_instance_masks(masks: Any) -> OrientedBoxes:
        """Raise NotImplementedError; the labels of DOTA are polygons, not masks."""
        raise NotImplementedError("OrientedBoxes cannot be created from masks. Use poly_to_obb on DOTA polygons.")


@register_box_converter(OrientedBoxes, HorizontalBoxes)
def _obb_to_hbox(boxes: Tensor) -> Tensor:
    return box_ops.obb_to_hbb(boxes)


@register_box_converter(HorizontalBoxes, OrientedBoxes)
def _hbox_to_obb(boxes: Tensor) -> Tensor:
    return box_ops.hbb_to_obb(boxes)
