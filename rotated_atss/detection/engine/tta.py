"""Test-time augmentation: merge the detections on several augmented versions of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData

from rotated_atss.errors import UserError
from rotated_atss.ops.box_fusion import Detections, in_size_range, map_back, merge_by_nms, merge_by_voting

# Merge methods by name: the function, and those of its parameters that are set in tta_cfg.
MERGERS: dict[str, tuple[Any, set[str]]] = {
    "nms": (merge_by_nms, {"iou_threshold"}),
    "vote": (merge_by_voting, {"iou_threshold", "soft_score"}),
}


@MODELS.register_module()
class BoxTTAModel(BaseTTAModel):
    """Test-time augmentation for detectors with oriented or horizontal boxes: the class of a config's ``tta_model``.

    MMCV's ``TestTimeAug`` runs several passes of ``tta_pipeline`` per image. A pass rotates the image
    (``RandomQuarterTurn``), resizes it (``ResizeImage``, or ``ResizeForRange`` to keep only boxes in a size range), and
    flips it (``FlipImage``). The pass packs the metadata ``ori_shape``, ``scale_factor``, ``flip``, ``flip_direction``
    and, if used, ``quarter_turns`` and ``size_range``. The detections of all passes over a tile are merged first; then
    the tiles are merged into full images.

    Args:
        tta_cfg: Settings of the merge by name. ``merge`` is the method: ``nms`` (rotated NMS, also for horizontal
            boxes) or ``vote``. ``iou_threshold`` is required. ``vote`` also has the setting ``soft_score``: see
            :mod:`rotated_atss.ops.box_fusion`. ``max_per_img`` is the maximum number of boxes per image.
        kwargs: Arguments of MMEngine's ``BaseTTAModel``, such as ``module``, the detector.

    Raises:
        UserError: ``tta_cfg`` names an unknown merge method, has a setting that the method lacks, or no
            ``iou_threshold``.
    """

    def __init__(self, tta_cfg: dict, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        settings = dict(tta_cfg)
        self.max_per_img = int(settings.pop("max_per_img", 2000))
        merge = settings.pop("merge", "nms")
        function, known_settings = MERGERS.get(merge, (None, set()))
        # This check also rejects unknown methods, because they have no known settings.
        if not ("iou_threshold" in settings and set(settings) <= known_settings):
            hint = "use merge='nms' with iou_threshold, or merge='vote' with iou_threshold and soft_score"
            what = f"tta_cfg must contain a merge method and its settings, got merge={merge!r}, {settings}"
            raise UserError(what, hint=hint)
        self.merge = partial(function, **settings)

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """Merge the detections of all passes of each image.

        Args:
            data_samples_list: For each image, the samples of its passes.

        Returns:
            One sample per image, with the metadata of the image's first pass.
        """
        return [self._merge_image(passes) for passes in data_samples_list]

    def _merge_image(self, passes: Sequence[DetDataSample]) -> DetDataSample:
        detections = [map_pass_to_image(sample) for sample in passes]
        boxes, scores, labels = (torch.cat(values) for values in zip(*detections))
        boxes, scores, labels = self.merge(boxes, scores, labels)
        limit = self.max_per_img  # merged boxes are sorted by descending score, so those with the highest scores remain
        merged = passes[0].new(data={})
        merged.pred_instances = InstanceData(bboxes=boxes[:limit], scores=scores[:limit], labels=labels[:limit])
        return merged


def map_pass_to_image(sample: DetDataSample) -> Detections:
    """Map the detections of one pass to the original image.

    The detector has already divided its boxes by ``scale_factor``. This function undoes the flip and the rotation.

    Args:
        sample: Detections of one pass with the metadata that :class:`BoxTTAModel` describes.

    Returns:
        Boxes (K, 5) or (K, 4) in pixels of the original image, scores (K,) and labels (K,). Boxes outside the size
        range of the pass are dropped.

    Example:
        >>> meta = dict(ori_shape=(64, 100), flip=True, flip_direction="horizontal")
        >>> boxes, scores, labels = torch.tensor([[10.0, 20, 30, 40]]), torch.ones(1), torch.zeros(1)
        >>> detections = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        >>> sample = DetDataSample(metainfo=meta, pred_instances=detections)
        >>> map_pass_to_image(sample)[0].tolist()
        [[70.0, 20.0, 90.0, 40.0]]
    """
    meta, instances = sample.metainfo, sample.pred_instances
    boxes = get_box_tensor(instances.bboxes)
    min_size, max_size = meta.get("size_range", (None, None))
    # The size range is in pixels of the resized image, so box sizes are multiplied by scale_factor for the comparison.
    keep = in_size_range(boxes, min_size, max_size, scale_xy=meta.get("scale_factor", (1.0, 1.0)))
    height, width = meta["ori_shape"][:2]
    boxes = map_back(
        boxes[keep],
        (width, height),
        turns=meta.get("quarter_turns", 0),
        flip=meta.get("flip_direction") if meta.get("flip") else None,
    )
    return boxes, instances.scores[keep], instances.labels[keep]
