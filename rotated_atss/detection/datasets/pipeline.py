"""Steps of a data pipeline: loading of boxes, resizing, flipping, and packing of the detector's input.

For images with boxes, these steps are equivalent to MMDetection's ``LoadAnnotations``, ``Resize``, ``RandomFlip`` and
``PackDetInputs``. MMDetection's steps are not used, because importing them also imports MMDetection's datasets and
several augmentation libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmcv.transforms
import numpy as np
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import BaseBoxes, get_box_type
from mmengine.structures import InstanceData

META_KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")


@TRANSFORMS.register_module()
class LoadBoxes(mmcv.transforms.BaseTransform):
    """Collect boxes, labels and ignore flags of an image's instances.

    Args:
        box_type: ``obb`` for oriented boxes, ``hbox`` for horizontal boxes.

    Example:
        >>> instance = dict(bbox=[30, 20, 8, 4, 0.1], bbox_label=3, ignore_flag=0)
        >>> LoadBoxes()({"instances": [instance]})["gt_bboxes_labels"]
        array([3])
    """

    def __init__(self, box_type: str = "obb") -> None:
        self.box_class = get_box_type(box_type)[1]

    def transform(self, results: dict) -> dict:
        """Add ``gt_bboxes`` (N boxes), ``gt_bboxes_labels`` (N,) int64 and ``gt_ignore_flags`` (N,) bool."""
        instances = results.get("instances") or []
        results["gt_bboxes"] = self.box_class([instance["bbox"] for instance in instances], dtype=torch.float32)
        results["gt_bboxes_labels"] = np.array([instance["bbox_label"] for instance in instances], dtype=np.int64)
        results["gt_ignore_flags"] = np.array([instance["ignore_flag"] for instance in instances], dtype=bool)
        return results


@TRANSFORMS.register_module()
class ResizeImage(mmcv.transforms.Resize):
    """MMCV's ``Resize`` for images with boxes of any box type.

    The boxes are scaled with the image and then clipped to it. Oriented boxes stay whole, because clipping them does
    nothing.

    Example:
        >>> ResizeImage(scale=(100, 100), keep_ratio=True)({"img": np.zeros((60, 50, 3), np.uint8)})["img_shape"]
        (100, 83)
    """

    def _resize_bboxes(self, results: dict) -> None:
        boxes: BaseBoxes | None = results.get("gt_bboxes")
        if boxes is not None:
            boxes.rescale_(results["scale_factor"])
            if self.clip_object_border:
                boxes.clip_(results["img_shape"])


@TRANSFORMS.register_module()
class ResizeForRange(ResizeImage):
    """Resize an image and record the range of box sizes that test-time augmentation keeps at this scale.

    The boxes are filtered by the test-time augmentation, not by this transform.

    Args:
        size_range: Lower and upper limits of the square root of the box area, both exclusive, in pixels of the resized
            image; None for no limit.
        args, kwargs: Arguments of ``ResizeImage``.
    """

    def __init__(self, *args: Any, size_range: tuple[float | None, float | None] = (None, None), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.size_range = tuple(size_range)

    def transform(self, results: dict) -> dict:
        """Resize and add ``size_range``."""
        results = super().transform(results)
        results["size_range"] = self.size_range
        return results


@TRANSFORMS.register_module()
class FlipImage(mmcv.transforms.RandomFlip):
    """MMCV's ``RandomFlip`` for images with boxes of any box type.

    Example:
        >>> FlipImage(prob=1.0)({"img": np.array([[1, 2], [3, 4]])})["img"]
        array([[2, 1],
               [4, 3]])
    """

    def _flip_bbox(self, bboxes: BaseBoxes, img_shape: tuple[int, int], direction: str) -> BaseBoxes:
        bboxes.flip_(img_shape, direction)
        return bboxes


@TRANSFORMS.register_module()
class PackSample(mmcv.transforms.BaseTransform):
    """Pack an image and its boxes into the input of a detector.

    Args:
        meta_keys: Keys of the pipeline results that become meta information of the sample, if they exist.

    Example:
        >>> PackSample()({"img": np.zeros((6, 8, 3), np.uint8), "img_id": "P1"})["inputs"].shape
        torch.Size([3, 6, 8])
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Return ``inputs`` (C, H, W) and ``data_samples`` with ``gt_instances`` and ``ignored_instances``."""
        sample = DetDataSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        sample.gt_instances, sample.ignored_instances = InstanceData(), InstanceData()
        if "gt_bboxes" in results:
            ignored = torch.from_numpy(results["gt_ignore_flags"])
            labels = torch.from_numpy(results["gt_bboxes_labels"])
            for instances, mask in ((sample.gt_instances, ~ignored), (sample.ignored_instances, ignored)):
                instances.bboxes, instances.labels = results["gt_bboxes"][mask], labels[mask]
        # torch transposes an image several times faster than NumPy
        image = torch.from_numpy(np.ascontiguousarray(results["img"]))
        return {"inputs": image.permute(2, 0, 1).contiguous(), "data_samples": sample}
