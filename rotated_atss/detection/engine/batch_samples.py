"""Convert between a batch of MMDetection and the images of a batch record.

Training writes a batch record (:mod:`rotated_atss.checkpoints.batch_record`) for a step with a NaN or infinite loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import BaseBoxes, get_box_type
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.checkpoints.batch_record import ImageRecord
from rotated_atss.errors import UserError, count_of

_INSTANCE_FIELDS = ("gt_instances", "ignored_instances")  # both DetDataSample and ImageRecord have these fields


def batch_to_images(data_batch: Mapping[str, Any] | None) -> list[ImageRecord]:
    """Convert a batch to the images of a batch record, on the CPU.

    Only plain values (numbers, strings, None, and lists of them) of the metainfo are kept, because a record must be
    readable without unpickling other types.

    Args:
        data_batch: A batch of MMDetection, with images (C, H, W) in ``inputs`` and ``data_samples``. None results
            in an empty list.

    Example:
        >>> batch_to_images(None)
        []
    """
    batch = data_batch or {}
    pairs = zip(batch.get("inputs", ()), batch.get("data_samples", ()), strict=True)
    return [_to_record(inputs, sample) for inputs, sample in pairs]


def images_to_batch(images: Sequence[ImageRecord]) -> dict[str, list]:
    """Convert the images of a batch record to a batch of MMDetection; the inverse of :func:`batch_to_images`.

    Args:
        images: Images of a record.

    Raises:
        UserError: The box type of an image is unknown.
    """
    return {"inputs": [image.inputs for image in images], "data_samples": [_to_sample(image) for image in images]}


def describe_batch(data_batch: Mapping[str, Any] | None, max_boxes: int = 5) -> str:
    """Describe a batch in one line: for each image, its id, its number of boxes and some of the boxes.

    Args:
        data_batch: A batch of MMDetection, with ``data_samples``. None is described as "unknown".
        max_boxes: Maximum number of boxes to print per image. Boxes that are not finite or have no area come first.

    Example:
        >>> describe_batch(None)
        'unknown'
    """
    descriptions = []
    for sample in (data_batch or {}).get("data_samples", []):
        boxes = _copy_to_cpu(sample.gt_instances.bboxes)
        is_invalid = invalid_boxes(boxes).int()
        invalid_first = is_invalid.argsort(descending=True, stable=True)
        shown_boxes = boxes[invalid_first[:max_boxes]].tolist()
        shown = "; ".join(" ".join(f"{value:.6g}" for value in box) for box in shown_boxes)
        omitted = f"; and {len(boxes) - max_boxes} more" if len(boxes) > max_boxes else ""
        descriptions.append(f"{sample.img_id} with {count_of(len(boxes), 'box')} [{shown}{omitted}]")
    return ", ".join(descriptions) or "unknown"


def invalid_boxes(boxes: Tensor) -> Tensor:
    """Return an (N,) mask of the boxes that are not finite or have no area.

    Args:
        boxes: (N, 5) oriented boxes, or (N, 4) horizontal boxes ``x1 y1 x2 y2``.

    Example:
        >>> import torch
        >>> invalid_boxes(torch.tensor([[10.0, 10.0, 4.0, 2.0, 0.0], [10.0, 10.0, 0.0, 2.0, 0.0]]))
        tensor([False,  True])
    """
    sides = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:4] - boxes[:, :2]
    return ~(boxes.isfinite().all(1) & (sides > 0).all(1))


def _to_record(inputs: Tensor, sample: DetDataSample) -> ImageRecord:
    boxes = getattr(sample.get("gt_instances"), "bboxes", None)
    instances = {name: _copy_tensors_to_cpu(sample.get(name)) for name in _INSTANCE_FIELDS}
    return ImageRecord(
        inputs=inputs.detach().cpu(),
        metainfo={key: _to_plain(value) for key, value in sample.metainfo.items() if _is_plain(value)},
        box_type=_find_box_type_name(boxes) if isinstance(boxes, BaseBoxes) else None,
        **instances,
    )


def _to_sample(image: ImageRecord) -> DetDataSample:
    sample = DetDataSample(metainfo=image.metainfo)
    for name in _INSTANCE_FIELDS:
        instances = InstanceData(**getattr(image, name))
        if image.box_type is not None and "bboxes" in instances:
            instances.bboxes = _find_box_class(image.box_type)(instances.bboxes)
        sample.set_data({name: instances})
    return sample


def _find_box_type_name(boxes: BaseBoxes) -> str:
    """Return the name under which MMDetection has registered the class of the boxes."""
    name, _ = get_box_type(type(boxes))
    return name


def _find_box_class(name: str) -> type:
    """Return the class of boxes that MMDetection has registered under a name."""
    try:
        _, box_class = get_box_type(name)
    except AssertionError as error:
        raise UserError(f"unknown box type '{name}'") from error
    return box_class


def _copy_tensors_to_cpu(instances: InstanceData | None) -> dict[str, Tensor]:
    values = {} if instances is None else dict(instances.items())
    return {name: _copy_to_cpu(value) for name, value in values.items() if isinstance(value, (Tensor, BaseBoxes))}


def _copy_to_cpu(value: Tensor | BaseBoxes) -> Tensor:
    return getattr(value, "tensor", value).detach().cpu().clone()


def _is_plain(value: Any) -> bool:
    """Return whether a value is None, a string, a number, or a list or tuple of such values."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float, bool, np.number))


def _to_plain(value: Any) -> Any:
    """Convert NumPy numbers, also in nested lists and tuples, to Python numbers."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_to_plain, value))
    return value.item() if isinstance(value, np.number) else value
