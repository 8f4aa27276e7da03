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

# By the name of a merge method: its function, and the parameters of the function that tta_cfg may set.
MERGERS: dict[str, tuple[Any, set[str]]] = {
    "nms": (merge_by_nms, {"iou_threshold"}),
    "vote": (merge_by_voting, {"iou_threshold", "soft_score"}),
}


@MODELS.register_module()
class BoxTTAModel(BaseTTAModel):
    """Test-time augmentation of a detector of oriented or horizontal boxes, for a config's ``tta_model``.

    MMCV's ``TestTimeAug`` runs several passes of ``tta_pipeline`` per image. Each pass rotates the image
    (``RandomQuarterTurn``), resizes it (``ResizeImage`` or ``ResizeForRange``), then flips it (``FlipImage``). With
    ``ResizeForRange``, only the boxes of a size range are kept. The pipeline packs ``ori_shape``, ``scale_factor``,
    ``flip``, ``flip_direction`` and, if used, ``quarter_turns`` and ``size_range``. For DOTA, an image is a tile here;
    the detections on tiles are merged into full images later.

    Args:
        tta_cfg: Dict with these keys:

            - ``merge``: ``"nms"`` (rotated NMS, also for horizontal boxes) or ``"vote"``. The default is ``"nms"``.
            - ``iou_threshold``: required by both methods (:mod:`rotated_atss.ops.box_fusion`).
            - ``soft_score``: optional, for ``"vote"`` only.
            - ``max_per_img``: maximum number of boxes per image.
        kwargs: Arguments of MMEngine's ``BaseTTAModel``, such as ``module``, the detector.

    Raises:
        UserError: ``merge`` is unknown, or the other settings are not those of its method.
    """

    def __init__(self, tta_cfg: dict, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        settings = dict(tta_cfg)
        self.max_per_img = int(settings.pop("max_per_img", 2000))
        merge = settings.pop("merge", "nms")
        function, known_settings = MERGERS.get(merge, (None, set()))
        # This check also rejects unknown methods: their known_settings are empty, so iou_threshold is not allowed.
        if not ("iou_threshold" in settings and set(settings) <= known_settings):
            hint = "use merge='nms' with iou_threshold, or merge='vote' with iou_threshold and soft_score"
            what = f"tta_cfg must contain a merge method and its settings only, got merge={merge!r}, {settings}"
            raise UserError(what, hint=hint)
        self.merge = partial(function, **settings)

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """Merge the detections of all passes of each image.

        Args:
            data_samples_list: Per image, one sample per pass.

        Returns:
            One sample per image, with the metadata of its first pass.
        """
        return [self._merge_image(passes) for passes in data_samples_list]

    def _merge_image(self, passes: Sequence[DetDataSample]) -> DetDataSample:
        detections = [map_pass_to_image(sample) for sample in passes]
        boxes, scores, labels = (torch.cat(values) for values in zip(*detections))
        boxes, scores, labels = self.merge(boxes, scores, labels)
        limit = self.max_per_img  # the merged boxes are in descending order of score
        merged = passes[0].new(data={})
        merged.pred_instances = InstanceData(bboxes=boxes[:limit], scores=scores[:limit], labels=labels[:limit])
        return merged


def map_pass_to_image(sample: DetDataSample) -> Detections:
    """Map the detections of one pass to the original image.

    The detector has already divided its boxes by ``scale_factor``; flips and rotations are undone here.

    Args:
        sample: Detections of one pass with the metadata that :class:`BoxTTAModel` describes.

    Returns:
        Boxes (K, 5) or (K, 4) in pixels of the original image, scores (K,) and labels (K,). Boxes outside the size
        range of the pass are dropped.

    Example:
        >>> meta = dict(ori_shape=(64, 100), flip=True, flip_direction="horizontal")
        >>> boxes, ones = torch.tensor([[10.0, 20, 30, 40]]), torch.ones(1)
        >>> sample = DetDataSample(metainfo=meta, pred_instances=InstanceData(bboxes=boxes, scores=ones, labels=ones))
        >>> map_pass_to_image(sample)[0].tolist()
        [[70.0, 20.0, 90.0, 40.0]]
    """
    meta, instances = sample.metainfo, sample.pred_instances
    boxes = get_box_tensor(instances.bboxes)
    min_size, max_size = meta.get("size_range", (None, None))
    # The size range is in pixels of the resized image, so scale_factor converts the sizes of the boxes to these pixels.
    keep = in_size_range(boxes, min_size, max_size, scale_xy=meta.get("scale_factor", (1.0, 1.0)))
    height, width = meta["ori_shape"][:2]
    boxes = map_back(
        boxes[keep],
        (width, height),
        turns=meta.get("quarter_turns", 0),
        flip=meta.get("flip_direction") if meta.get("flip") else None,
    )
    return boxes, instances.scores[keep], instances.labels[keep]
