"""Rotation transforms for images with oriented boxes."""

# ruff: noqa: NPY002 (MMCV's transforms draw from NumPy's global generator, which MMEngine seeds)

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS

from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.errors import UserError
from rotated_atss.ops.box_transforms import rot90_obb


@TRANSFORMS.register_module()
class RandomQuarterTurn(BaseTransform):
    """Rotate image and boxes by a random multiple of 90 degrees, without interpolation.

    An odd number of turns swaps width and height of the image. The number of turns is added to the results as
    ``quarter_turns``, so that test-time augmentation can rotate the detections back.

    Args:
        prob: Probability of a rotation.
        turns: Numbers of clockwise quarter turns to draw from. ``prob=1.0, turns=[1]`` is a fixed rotation for
            test-time augmentation.

    Raises:
        UserError: ``prob`` is outside [0, 1], or ``turns`` is empty or contains a value that is not an integer.

    Example:
        >>> RandomQuarterTurn(prob=1.0, turns=[1])({"img": np.array([[1, 2], [3, 4]])})["img"]
        array([[3, 1],
               [4, 2]])
    """

    def __init__(self, prob: float = 0.5, turns: Sequence[int] = (1, 2, 3)) -> None:
        _check_prob(prob)
        if not turns or not all(isinstance(turn, int) for turn in turns):
            raise UserError(f"turns of RandomQuarterTurn must be a non-empty list of integers, got {turns}")
        self.prob, self.turns = prob, tuple(turns)

    @cache_randomness
    def _random_turns(self) -> int:
        return int(np.random.choice(self.turns)) if np.random.rand() < self.prob else 0

    def transform(self, results: dict) -> dict:
        """Rotate ``img`` and ``gt_bboxes`` and add ``quarter_turns``."""
        return quarter_turn(results, self._random_turns())


@TRANSFORMS.register_module()
class RandomRotation(BaseTransform):
    """Rotate image and oriented boxes by a random angle about the image center; the image keeps its size.

    Equivalent to mmrotate's ``PolyRandomRotate`` without ``auto_bound``. If the rotation moves all objects out of an
    image, the image is kept as background.

    Args:
        prob: Probability of a rotation.
        angle_range: Angles are drawn uniformly from [-angle_range, angle_range) degrees.
        border_value: BGR value of pixels outside the original image.
        min_side: After a rotation by a random angle, boxes whose shorter side is at most this number of pixels are
            dropped; 0 applies no limit. Boxes whose center leaves the image are always dropped.
        quarter_turn_classes: Indices of classes of round objects, such as 9 (storage tank) and 11 (roundabout) of DOTA.
            An image that contains an object of these classes is rotated by quarter turns only (see
            :func:`quarter_turn`), because round objects are labeled with horizontal squares. Rotating the squares by
            other angles would teach an orientation that round objects do not have.

    Raises:
        UserError: ``prob`` is outside [0, 1] or ``angle_range`` outside (0, 180].
    """

    def __init__(
        self,
        prob: float = 0.5,
        angle_range: float = 180.0,
        border_value: Sequence[int] = (0, 0, 0),
        min_side: float = 0.0,
        quarter_turn_classes: Sequence[int] = (),
    ) -> None:
        _check_prob(prob)
        if not 0 < angle_range <= 180:
            raise UserError(f"angle_range of RandomRotation must be above 0 and at most 180 degrees, got {angle_range}")
        self.prob, self.angle_range, self.min_side = prob, angle_range, min_side
        self.border_value, self.quarter_turn_classes = tuple(border_value), tuple(quarter_turn_classes)

    @cache_randomness
    def _should_rotate(self) -> bool:
        return bool(np.random.rand() < self.prob)

    @cache_randomness
    def _random_angle(self) -> float:
        return float(np.random.uniform(-self.angle_range, self.angle_range))

    @cache_randomness
    def _random_turns(self) -> int:
        return int(np.random.randint(1, 4))

    def transform(self, results: dict) -> dict:
        """Rotate ``img`` and ``gt_bboxes``; drop small boxes, boxes outside the image, and their labels and flags."""
        if not self._should_rotate():
            return results
        if np.isin(results.get("gt_bboxes_labels", ()), self.quarter_turn_classes).any():
            return quarter_turn(results, self._random_turns())
        return rotate(results, self._random_angle(), self.border_value, self.min_side)


def quarter_turn(results: dict, turns: int) -> dict:
    """Rotate image and boxes clockwise by multiples of 90 degrees, without interpolation.

    Args:
        results: Pipeline results with ``img`` and optionally ``gt_bboxes`` of any box type; modified in place.
        turns: Number of clockwise quarter turns; negative turns are counterclockwise.

    Returns:
        The results with ``quarter_turns``, the total number of turns modulo 4.

    Example:
        >>> import torch
        >>> from rotated_atss.detection.datasets.box_type import OrientedBoxes
        >>> boxes = OrientedBoxes(torch.tensor([[30.0, 10.0, 8.0, 4.0, 0.0]]))
        >>> results = quarter_turn({"img": np.zeros((60, 100, 3), np.uint8), "gt_bboxes": boxes}, turns=1)
        >>> results["img"].shape, results["gt_bboxes"].centers
        ((100, 60, 3), tensor([[50., 30.]]))
    """
    height, width = results["img"].shape[:2]
    results["quarter_turns"] = (results.get("quarter_turns", 0) + turns) % 4
    if turns % 4 == 0:
        return results
    results["img"] = np.ascontiguousarray(np.rot90(results["img"], -turns))  # NumPy rotates counterclockwise
    results["img_shape"] = results["img"].shape[:2]
    boxes = results.get("gt_bboxes")
    if isinstance(boxes, OrientedBoxes):
        # exact, whereas OrientedBoxes.project_ would fit new rectangles to the mapped corners
        boxes.tensor = rot90_obb(boxes.tensor, (width, height), turns)
    elif boxes is not None:
        boxes.project_(_quarter_turn_matrix(width, height, turns))
    return results


def rotate(results: dict, degrees: float, border_value: Sequence[int] = (0, 0, 0), min_side: float = 0.0) -> dict:
    """Rotate image and oriented boxes clockwise about the image center.

    Args:
        results: Pipeline results with ``img`` and optionally ``gt_bboxes``; modified in place.
        degrees: Clockwise angle in degrees.
        border_value: BGR value of pixels outside the original image.
        min_side: Boxes whose shorter side is at most this number of pixels are dropped; 0 applies no limit. Boxes whose
            center leaves the image are always dropped.

    Returns:
        The results with ``rotation_deg``, the total angle in degrees.

    Raises:
        UserError: ``gt_bboxes`` are not oriented boxes.

    Example:
        >>> import torch
        >>> from rotated_atss.detection.datasets.box_type import OrientedBoxes
        >>> boxes = OrientedBoxes(torch.tensor([[150.0, 100.0, 40.0, 10.0, 0.0]]))
        >>> results = rotate({"img": np.zeros((200, 200, 3), np.uint8), "gt_bboxes": boxes}, degrees=90)
        >>> results["gt_bboxes"].centers
        tensor([[100., 150.]])
    """
    height, width = results["img"].shape[:2]
    results["rotation_deg"] = results.get("rotation_deg", 0.0) + degrees
    # In OpenCV, integer coordinates are pixel centers, not upper-left corners, and angles are counterclockwise.
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), -degrees, 1.0)
    results["img"] = cv2.warpAffine(
        results["img"], matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=border_value
    )
    boxes = results.get("gt_bboxes")
    if boxes is None:
        return results
    if not isinstance(boxes, OrientedBoxes):
        hint = "use LoadBoxes with box_type='obb', or RandomQuarterTurn"
        raise UserError(f"gt_bboxes must be OrientedBoxes, got {type(boxes).__name__}", hint=hint)
    boxes.rotate_((width / 2, height / 2), degrees)
    centers = boxes.centers
    keep = ((centers >= 0) & (centers < centers.new_tensor((width, height)))).all(1)
    if min_side > 0:
        keep &= boxes.tensor[:, 2:4].amin(1) > min_side
    return _filter_boxes(results, keep.numpy())


def _filter_boxes(results: dict, keep: np.ndarray) -> dict:
    """Keep the boxes, labels and ignore flags where ``keep`` (N,) is True."""
    for name in ("gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags"):
        if name in results:
            results[name] = results[name][keep]
    return results


def _quarter_turn_matrix(width: int, height: int, turns: int) -> np.ndarray:
    """Return the (3, 3) matrix that maps points of the image to their positions after clockwise quarter turns."""
    matrix = np.eye(3, dtype=np.float32)
    for _ in range(turns % 4):  # each turn maps (x, y) to (height - y, x)
        matrix = np.array([[0, -1, height], [1, 0, 0], [0, 0, 1]], np.float32) @ matrix
        width, height = height, width
    return matrix


def _check_prob(prob: float) -> None:
    if not 0 <= prob <= 1:  # also True for NaN
        raise UserError(f"prob must be between 0 and 1, got {prob}")
