"""Test-time augmentation: one detector over several passes of MMCV's ``TestTimeAug``, merged by the plain ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData

from rotated_atss.errors import UserError
from rotated_atss.ops.box_fusion import Detections, in_size_range, map_back, merge_by_nms, merge_by_voting

MERGING = {"nms": merge_by_nms, "vote": merge_by_voting}


@MODELS.register_module()
class BoxTTAModel(BaseTTAModel):
    """Wraps a detector of oriented or horizontal boxes, the config's ``tta_model``.

    A pass of ``tta_pipeline`` turns (``RandomQuarterTurn``), resizes (``Resize``, or ``ResizeForRange`` where only some
    sizes count), then flips (``RandomFlip``), and packs ``ori_shape``, ``scale_factor``, ``flip``, ``flip_direction``
    and, where used, ``quarter_turns`` and ``size_range``. Merging happens before tiles are merged into images.

    Args:
        tta_cfg: ``merge``, ``nms`` (rotated, also for horizontal boxes) or ``vote``; its ``iou_threshold`` and, for
            ``vote``, ``soft_score`` as in :mod:`rotated_atss.ops.box_fusion`; ``max_per_img``, how many boxes to keep.
        kwargs: ``module``, the detector, as MMEngine's ``BaseTTAModel``.
    """

    def __init__(self, tta_cfg: dict, **kwargs) -> None:
        super().__init__(**kwargs)
        settings = dict(tta_cfg)
        self.max_per_img = int(settings.pop("max_per_img", 2000))
        way = settings.pop("merge", "nms")
        known = {"nms": {"iou_threshold"}, "vote": {"iou_threshold", "soft_score"}}
        if way not in known or "iou_threshold" not in settings or not set(settings) <= known[way]:
            hint = "merge='nms' with iou_threshold, or merge='vote' with iou_threshold and soft_score"
            raise UserError(f"tta_cfg does not say how to merge: merge={way!r}, {settings}", hint=hint)
        self.merge = partial(MERGING[way], **settings)

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """One sample an image from the passes of each; its metadata are the first pass's."""
        return [self._merge_image(passes) for passes in data_samples_list]

    def _merge_image(self, passes: Sequence[DetDataSample]) -> DetDataSample:
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*map(on_image, passes)))
        boxes, scores, labels = (part[: self.max_per_img] for part in self.merge(boxes, scores, labels))
        merged = passes[0].new(data={})
        merged.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        return merged


def on_image(sample: DetDataSample) -> Detections:
    """What one pass found, of the sizes it may keep, on the image as it was read. The detector has scaled its boxes
    back by ``scale_factor``; flips and turns are left to us.
    """
    meta, found = sample.metainfo, sample.pred_instances
    boxes = get_box_tensor(found.bboxes)
    keep = in_size_range(boxes, *meta.get("size_range", (None, None)), scale_xy=meta.get("scale_factor", (1.0, 1.0)))
    height, width = meta["ori_shape"][:2]
    boxes = map_back(
        boxes[keep],
        (width, height),
        turns=meta.get("quarter_turns", 0),
        flip=meta.get("flip_direction") if meta.get("flip") else None,
    )
    return boxes, found.scores[keep], found.labels[keep]
