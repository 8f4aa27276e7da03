"""The box type ``obb`` of MMDetection's pipelines: every method is a call of :mod:`rotated_atss.ops.boxes`."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes, register_box, register_box_converter
from torch import Tensor

from rotated_atss.ops import box_transforms, rotated_iou
from rotated_atss.ops import boxes as geometry


@register_box("obb")
class OrientedBoxes(BaseBoxes):
    """Oriented boxes ``(cx, cy, w, h, angle)`` in pixels and radians clockwise on the image, in any angle version."""

    box_dim = 5

    @property
    def centers(self) -> Tensor:
        return self.tensor[..., :2]

    @property
    def areas(self) -> Tensor:
        return self.tensor[..., 2] * self.tensor[..., 3]

    @property
    def widths(self) -> Tensor:
        return self.tensor[..., 2]

    @property
    def heights(self) -> Tensor:
        return self.tensor[..., 3]

    def flip_(self, img_shape: tuple[int, int], direction: str = "horizontal") -> None:
        self.tensor = box_transforms.flip_obb(self.tensor, (img_shape[1], img_shape[0]), direction)

    def translate_(self, distances: tuple[float, float]) -> None:
        self.tensor[..., :2] += self.tensor.new_tensor(distances)

    def clip_(self, img_shape: tuple[int, int]) -> None:
        """Leave the boxes: a clipped oriented box is no oriented box. Tiles keep truncated objects whole."""

    def rotate_(self, center: tuple[float, float], angle: float) -> None:
        """Turn around ``center`` by ``angle`` degrees, clockwise on the image."""
        self.tensor = box_transforms.rotate_obb(self.tensor, center, float(np.deg2rad(angle)))

    def project_(self, homography_matrix: Tensor | np.ndarray) -> None:
        """Map the corners by a (3, 3) homography and take the minimum-area rectangles."""
        matrix = torch.as_tensor(homography_matrix, dtype=torch.float64, device=self.tensor.device)
        corners = geometry.obb_to_corners(self.tensor.double())
        mapped = torch.cat((corners, torch.ones_like(corners[..., :1])), -1) @ matrix.T
        corners = mapped[..., :2] / mapped[..., 2:]
        self.tensor = geometry.poly_to_obb(corners.flatten(-2)).to(self.tensor.dtype)

    def rescale_(self, scale_factor: tuple[float, float]) -> None:
        self.tensor = box_transforms.scale_obb(self.tensor, tuple(scale_factor))

    def resize_(self, scale_factor: tuple[float, float]) -> None:
        self.tensor[..., 2:4] *= self.tensor.new_tensor(scale_factor)

    def is_inside(self, img_shape: tuple[int, int], all_inside: bool = False, allowed_border: int = 0) -> Tensor:
        """(...) bool: the circumscribed box meets the image (or lies in it), enlarged by ``allowed_border`` pixels."""
        low, high = geometry.obb_to_hbb(self.tensor).split(2, -1)
        size = self.tensor.new_tensor((img_shape[1], img_shape[0]))
        if all_inside:
            return (low >= -allowed_border).all(-1) & (high < size + allowed_border).all(-1)
        return (low < size + allowed_border).all(-1) & (high > -allowed_border).all(-1)

    def find_inside_points(self, points: Tensor, is_aligned: bool = False) -> Tensor:
        """Whether points (P, 2) lie in the boxes (N, 5): (P, N), or (N,) when aligned."""
        return geometry.points_in_obb(points if is_aligned else points[:, None], self.tensor)

    @staticmethod
    def overlaps(
        boxes1: BaseBoxes, boxes2: BaseBoxes, mode: str = "iou", is_aligned: bool = False, eps: float = 1e-6
    ) -> Tensor:
        first, second = boxes1.convert_to("obb").tensor, boxes2.convert_to("obb").tensor
        return rotated_iou(first, second, aligned=is_aligned, mode=mode)

    @staticmethod
    def from_instance_masks(masks) -> OrientedBoxes:
        raise NotImplementedError("oriented boxes come from DOTA polygons, not from masks")


@register_box_converter(OrientedBoxes, HorizontalBoxes)
def _obb_to_hbox(boxes: Tensor) -> Tensor:
    return geometry.obb_to_hbb(boxes)


@register_box_converter(HorizontalBoxes, OrientedBoxes)
def _hbox_to_obb(boxes: Tensor) -> Tensor:
    return geometry.hbb_to_obb(boxes)
