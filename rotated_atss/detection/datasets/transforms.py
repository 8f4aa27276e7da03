"""Transforms of MMDetection's pipelines that turn an image with its oriented boxes, and one for test-time passes."""

# ruff: noqa: NPY002 (NumPy's global generator is the one that MMCV's transforms draw from and MMEngine seeds)

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import Resize
from mmdet.registry import TRANSFORMS

from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.errors import UserError
from rotated_atss.ops.box_transforms import rot90_obb


@TRANSFORMS.register_module()
class RandomQuarterTurn(BaseTransform):
    """Turn image and boxes by quarter turns clockwise: pixels move, none is computed. Odd turns swap the image's
    sides. Writes ``quarter_turns``, by which test-time augmentation turns back.

    Args:
        prob: How often an image is turned.
        turns: Numbers of quarter turns to choose from; ``prob=1.0, turns=[1]`` is a pass of test-time augmentation.
    """

    def __init__(self, prob: float = 0.5, turns: Sequence[int] = (1, 2, 3)) -> None:
        _check_prob(prob)
        if not turns or not all(isinstance(each, int) for each in turns):
            raise UserError(f"RandomQuarterTurn takes whole numbers of quarter turns, not {turns}")
        self.prob, self.turns = prob, tuple(turns)

    @cache_randomness
    def _choose(self) -> int:
        return int(np.random.choice(self.turns)) if np.random.rand() < self.prob else 0

    def transform(self, results: dict) -> dict:
        return quarter_turn(results, self._choose())


@TRANSFORMS.register_module()
class RandomRotation(BaseTransform):
    """Turn image and boxes by any angle about the image's centre; the image keeps its size.

    As mmrotate's ``PolyRandomRotate`` without ``auto_bound``. An image all of whose objects leave it stays as
    background.

    Args:
        prob: How often an image is turned.
        angle_range: The angle is uniform in [-angle_range, angle_range) degrees.
        border_value: BGR of what comes in from outside.
        min_side: Boxes of a turned image with a side of no more pixels are dropped, as are those whose centre left it.
        quarter_turn_classes: Labels of classes of which one in the image allows only quarter turns (see
            :func:`quarter_turn`): round objects are labelled with horizontal squares, and 30 degrees would teach that
            they have a direction. In DOTA 9 and 11, storage tank and roundabout.
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
            raise UserError(f"the angle_range of RandomRotation is above 0 and at most 180 degrees, not {angle_range}")
        self.prob, self.angle_range, self.min_side = prob, angle_range, min_side
        self.border_value, self.quarter_turn_classes = tuple(border_value), tuple(quarter_turn_classes)

    @cache_randomness
    def _happens(self) -> bool:
        return bool(np.random.rand() < self.prob)

    @cache_randomness
    def _angle(self) -> float:
        return float(np.random.uniform(-self.angle_range, self.angle_range))

    @cache_randomness
    def _quarter_turns(self) -> int:
        return int(np.random.randint(1, 4))

    def transform(self, results: dict) -> dict:
        if not self._happens():
            return results
        if np.isin(results.get("gt_bboxes_labels", ()), self.quarter_turn_classes).any():
            return quarter_turn(results, self._quarter_turns())
        return rotate(results, self._angle(), self.border_value, self.min_side)


@TRANSFORMS.register_module()
class ResizeForRange(Resize):
    """MMDetection's ``Resize`` for a test-time pass that may keep only boxes of some sizes.

    Args:
        size_range: The square root of a box's area lies strictly between these, in pixels of the resized image; None
            for no limit on that side.
        args, kwargs: As ``Resize``.
    """

    def __init__(self, *args, size_range: tuple[float | None, float | None] = (None, None), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.size_range = tuple(size_range)

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        results["size_range"] = self.size_range
        return results


def quarter_turn(results: dict, turns: int) -> dict:
    """Turn a pipeline's image and boxes by ``turns`` quarter turns clockwise, exactly."""
    height, width = results["img"].shape[:2]
    results["quarter_turns"] = (results.get("quarter_turns", 0) + turns) % 4
    if turns % 4 == 0:
        return results
    results["img"] = np.ascontiguousarray(np.rot90(results["img"], -turns))
    results["img_shape"] = results["img"].shape[:2]
    boxes = results.get("gt_bboxes")
    if isinstance(boxes, OrientedBoxes):
        boxes.tensor = rot90_obb(boxes.tensor, (width, height), turns)
    elif boxes is not None:
        boxes.project_(_quarter_turn_matrix(width, height, turns))
    return results


def rotate(results: dict, degrees: float, border_value: Sequence[int] = (0, 0, 0), min_side: float = 0.0) -> dict:
    """Turn a pipeline's image and oriented boxes clockwise about the image's centre; arguments as
    :class:`RandomRotation`.
    """
    height, width = results["img"].shape[:2]
    # OpenCV counts from pixel centres, the boxes from their upper left corners; and its angles run the other way
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), -degrees, 1.0)
    results["img"] = cv2.warpAffine(
        results["img"], matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=border_value
    )
    boxes = results.get("gt_bboxes")
    if boxes is None:
        return results
    if not isinstance(boxes, OrientedBoxes):
        hint = "LoadAnnotations with box_type='obb', or RandomQuarterTurn"
        raise UserError("turning by any angle needs oriented boxes", hint=hint)
    boxes.rotate_((width / 2, height / 2), degrees)
    centers = boxes.centers
    inside = ((centers >= 0) & (centers < centers.new_tensor((width, height)))).all(1)
    large = boxes.tensor[:, 2:4].amin(1) > min_side if min_side > 0 else inside
    return _keep_objects(results, (inside & large).numpy())


def _keep_objects(results: dict, keep: np.ndarray) -> dict:
    for name in ("gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags"):
        if name in results:
            results[name] = results[name][keep]
    return results


def _quarter_turn_matrix(width: int, height: int, turns: int) -> np.ndarray:
    """(3, 3): where a point of the image goes."""
    matrix = np.eye(3, dtype=np.float32)
    for _ in range(turns % 4):
        matrix = np.array([[0, -1, height], [1, 0, 0], [0, 0, 1]], np.float32) @ matrix
        width, height = height, width
    return matrix


def _check_prob(prob: float) -> None:
    if not math.isfinite(prob) or not 0 <= prob <= 1:
        raise UserError(f"a probability lies between 0 and 1, not at {prob}")
