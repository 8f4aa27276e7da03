"""Clamping, rescaling and NMS of the decoded boxes of a batch."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.ops.box_transforms import clamp_centers, scale_obb
from rotated_atss.ops.candidates import Candidates, image_slices, suppress_candidates


def clamp_centers_to_image(boxes: Tensor, image_index: Tensor, batch_img_metas: list[dict]) -> Tensor:
    """Clamp the centers of boxes to the resized images.

    The heads do this if ``test_cfg`` contains ``clamp_centers=True``. mmrotate clamps in the same way in testing.

    Args:
        boxes: (N, 5) in pixels of the network input.
        image_index: (N,) int64, image of each box.
        batch_img_metas: Meta information of each image, with ``img_shape``, the (height, width) of the resized image.

    Returns:
        (N, 5), see :func:`rotated_atss.ops.box_transforms.clamp_centers`.

    Example:
        >>> boxes = torch.tensor([[-3.0, 70.0, 8.0, 4.0, 0.0]])
        >>> clamp_centers_to_image(boxes, torch.tensor([0]), [{"img_shape": (64, 96)}])
        tensor([[ 0., 63.,  8.,  4.,  0.]])
    """
    shapes = boxes.new_tensor([meta["img_shape"][:2] for meta in batch_img_metas])
    return clamp_centers(boxes, shapes[image_index])


def rescale_to_original(boxes: Tensor, image_index: Tensor, batch_img_metas: list[dict]) -> Tensor:
    """Scale boxes of the network input to the original images.

    Args:
        boxes: (N, 5).
        image_index: (N,) int64, image of each box.
        batch_img_metas: Meta information of each image, with ``scale_factor`` (x, y).

    Returns:
        (N, 5).

    Example:
        >>> boxes = torch.tensor([[20.0, 10.0, 8.0, 4.0, 0.0]])
        >>> rescale_to_original(boxes, torch.tensor([0]), [{"scale_factor": (2.0, 2.0)}])
        tensor([[10.,  5.,  4.,  2.,  0.]])
    """
    scales = [meta["scale_factor"] for meta in batch_img_metas]
    factors = [(float(1 / scale_x), float(1 / scale_y)) for scale_x, scale_y in scales]
    if len(set(factors)) == 1:
        return scale_obb(boxes, factors[0])
    scaled = boxes.clone()
    for image, factor in enumerate(factors):
        in_image = torch.nonzero(image_index == image).squeeze(1)
        scaled[in_image] = scale_obb(boxes[in_image], factor).to(scaled)
    return scaled


def postprocess_detections(
    boxes: Tensor, candidates: Candidates, num_images: int, num_classes: int, cfg: Any, with_nms: bool
) -> list[InstanceData]:
    """Drop small candidates, apply class-wise NMS and split the remaining candidates into detections per image.

    Args:
        boxes: (N, 5) decoded boxes of the candidates.
        candidates: Image, label and score of each candidate, ordered by image.
        num_images: Number of images in the batch.
        num_classes: Number of classes.
        cfg: Test settings ``min_bbox_size`` (both sides of a box must be longer than this number of pixels),
            ``nms.iou_threshold`` and ``max_per_img``.
        with_nms: Whether to apply NMS and to limit the number of detections. Without NMS, detections keep the order of
            the candidates.

    Returns:
        ``bboxes`` (K, 5), ``scores`` (K,) and ``labels`` (K,) of each image.

    Example:
        >>> from mmengine.config import ConfigDict
        >>> boxes = torch.tensor([[10.0, 10.0, 8.0, 4.0, 0.0]]).repeat(2, 1)
        >>> candidates = Candidates(
        ...     image_index=torch.tensor([0, 0]),
        ...     prior_index=torch.tensor([3, 7]),
        ...     labels=torch.tensor([1, 1]),
        ...     scores=torch.tensor([0.75, 0.5]),
        ... )
        >>> cfg = ConfigDict(nms=dict(iou_threshold=0.1), max_per_img=100)
        >>> (result,) = postprocess_detections(boxes, candidates, 1, 15, cfg, with_nms=True)
        >>> result.scores
        tensor([0.7500])
    """
    if cfg.get("min_bbox_size", 0) > 0:
        large_enough = torch.nonzero((boxes[:, 2:4] > cfg.min_bbox_size).all(1)).squeeze(1)
        boxes, candidates = boxes[large_enough], candidates.take(large_enough)
    if with_nms:
        keep = suppress_candidates(boxes, candidates, num_classes, cfg.nms.iou_threshold, cfg.max_per_img)
        boxes, candidates = boxes[keep], candidates.take(keep)
    return [
        InstanceData(bboxes=boxes[rows], scores=candidates.scores[rows], labels=candidates.labels[rows])
        for rows in image_slices(candidates.image_index, num_images)
    ]
