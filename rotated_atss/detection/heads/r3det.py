"""R3Det (Yang et al., arXiv 1908.05612): a first head, features read again at its boxes, a head that refines them."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.model import BaseModule, ModuleList, normal_init
from torch import Tensor, nn

from rotated_atss.detection.heads.retina_head import RotatedRetinaHead
from rotated_atss.ops.feature_align import align_features


@MODELS.register_module()
class FeatureRefinement(BaseModule):
    """Feature refinement module: each cell also sees the features at the centre of its box. Plain torch on every
    device.

    Args:
        feat_channels: Channels of every level.
        strides: Pixels a cell, level by level.
        transposed: See :func:`rotated_atss.ops.feature_align.align_features`. It is saved with the weights, and loading
            weights sets it: they only fit the reading they were trained with.
    """

    def __init__(self, feat_channels: int, strides: list[int], transposed: bool = False) -> None:
        super().__init__()
        self.strides = list(strides)
        self.conv_5_1 = nn.Conv2d(feat_channels, feat_channels, (5, 1), padding=(2, 0))
        self.conv_1_5 = nn.Conv2d(feat_channels, feat_channels, (1, 5), padding=(0, 2))
        self.conv_1_1 = nn.Conv2d(feat_channels, feat_channels, 1)
        self.register_buffer("transposed", torch.tensor(float(transposed)))
        self._reads_transposed = transposed  # the buffer's value, without asking the device in every step

    def init_weights(self) -> None:
        for layer in (self.conv_5_1, self.conv_1_5, self.conv_1_1):
            normal_init(layer, std=0.01)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._reads_transposed = bool(self.transposed)

    def forward(self, features: tuple[Tensor, ...], boxes: list[Tensor]) -> list[Tensor]:
        """Levels (B, C, H, W) and their boxes (B, H * W, 5) to levels (B, C, H, W)."""
        return [
            level
            + align_features(
                self.conv_5_1(self.conv_1_5(level)) + self.conv_1_1(level),
                box,
                stride,
                transposed=self._reads_transposed,
            ).to(level.dtype)
            for level, box, stride in zip(features, boxes, self.strides)
        ]


@MODELS.register_module()
class RotatedRefineHead(RotatedRetinaHead):
    """A head whose priors are boxes of the head before it, one a cell.

    Args:
        frm_cfg: The feature refinement module.
        kwargs: As :class:`RotatedRetinaHead`, with ``PriorGrid`` as generator.
    """

    def __init__(self, *args, frm_cfg: dict, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.feat_refine_module = MODELS.build(frm_cfg)

    def forward(self, features: tuple[Tensor, ...], boxes: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits and deltas of each level, from features (B, C, H, W) read again at boxes (B, H * W, 5)."""
        return super().forward(tuple(self.feat_refine_module(features, boxes)))


def best_boxes(
    head: RotatedRetinaHead, cls_scores: list[Tensor], bbox_preds: list[Tensor], priors: list[Tensor] | None = None
) -> list[Tensor]:
    """The box of the highest score at each cell, without gradient: levels of (B, H * W, 5).

    Args:
        head: Whose outputs these are.
        cls_scores: Levels (B, priors * C, H, W).
        bbox_preds: Levels (B, priors * 5, H, W).
        priors: Levels of (B, H * W, 5) instead of the head's own; one prior a cell.
    """
    if priors is None:
        priors = head.flat_priors([level.shape[-2:] for level in cls_scores], cls_scores[0].device)
    return [_best_of_level(head, *level) for level in zip(cls_scores, bbox_preds, priors)]


@torch.no_grad()
def _best_of_level(head: RotatedRetinaHead, scores: Tensor, deltas: Tensor, priors: Tensor) -> Tensor:
    with torch.autocast(scores.device.type, enabled=False):
        batch, number = len(scores), head.num_base_priors
        scores = scores.permute(0, 2, 3, 1).reshape(batch, -1, number, head.cls_out_channels)
        deltas = deltas.permute(0, 2, 3, 1).reshape(batch, -1, number, 5)
        priors = priors.reshape(-1, *deltas.shape[1:]).expand_as(deltas)  # (1 or B, cells, priors, 5)
        best = scores.amax(-1).argmax(-1)[..., None, None].expand(-1, -1, 1, 5)
        chosen = priors.gather(2, best).squeeze(2), deltas.gather(2, best).squeeze(2)
        # an angle beyond its angle version stays: exchanging the sides would scale the next stage's dx and dy by others
        return head.bbox_coder.decode(*chosen, normalize=False)


@MODELS.register_module()
class R3Det(BaseDetector):
    """A first stage and any number of refinement stages; the parameter names are those of mmrotate 1.x's
    ``RefineSingleStageDetector``.

    Args:
        backbone, neck: As every detector of MMDetection.
        bbox_head_init: The first head; its loss counts whole.
        bbox_head_refine: The heads that refine, in order; the last one detects.
        train_cfg: ``init`` and ``refine`` (one a refining head) settings, ``stage_loss_weights``.
        test_cfg: Of the last head.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        bbox_head_init: dict,
        bbox_head_refine: list[dict],
        train_cfg: Any = None,
        test_cfg: Any = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone, self.neck = MODELS.build(backbone), MODELS.build(neck)
        train_cfg = train_cfg or {}
        self.bbox_head_init = _head(bbox_head_init, train_cfg.get("init"), test_cfg)
        stages = train_cfg.get("refine") or [None] * len(bbox_head_refine)
        if len(stages) != len(bbox_head_refine):
            raise ValueError(f"{len(bbox_head_refine)} refining heads need as many train_cfg.refine, not {len(stages)}")
        self.bbox_head_refine = ModuleList(
            _head(head, stage, test_cfg) for head, stage in zip(bbox_head_refine, stages)
        )
        self.loss_weights = list(train_cfg.get("stage_loss_weights") or [1.0] * len(bbox_head_refine))
        if len(self.loss_weights) != len(bbox_head_refine):
            raise ValueError(
                f"{len(bbox_head_refine)} refining heads need as many stage_loss_weights, not {len(self.loss_weights)}"
            )

    @property
    def num_classes(self) -> int:
        return self.bbox_head_init.num_classes

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        return self.neck(self.backbone(batch_inputs))

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of every stage: ``loss_cls``, ``loss_bbox``, and the same with ``_refine_N``."""
        features = self.extract_feat(batch_inputs)
        objects, ignored, metas = unpack_gt_instances(batch_data_samples)
        outputs = self.bbox_head_init(features)
        losses = self.bbox_head_init.loss_by_feat(*outputs, objects, metas, ignored)
        boxes = best_boxes(self.bbox_head_init, *outputs)
        for stage, (head, weight) in enumerate(zip(self.bbox_head_refine, self.loss_weights)):
            outputs = head(features, boxes)
            refined = head.loss_by_feat(*outputs, objects, metas, ignored, priors=boxes)
            for name, value in refined.items():
                losses[f"{name}_refine_{stage}"] = value * weight if "loss" in name else value
            boxes = best_boxes(head, *outputs, boxes)
        return losses

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True) -> SampleList:
        """Detections of the last stage."""
        outputs, boxes = self._stages(batch_inputs)
        metas = [sample.metainfo for sample in batch_data_samples]
        found = self.bbox_head_refine[-1].predict_by_feat(
            *outputs, batch_img_metas=metas, rescale=rescale, priors=boxes
        )
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: SampleList | None = None) -> tuple:
        """Raw outputs of the last stage."""
        return self._stages(batch_inputs)[0]

    def _stages(self, batch_inputs: Tensor) -> tuple[tuple[list[Tensor], list[Tensor]], list[Tensor]]:
        """Raw outputs of the last stage and the boxes that are its priors."""
        features = self.extract_feat(batch_inputs)
        head, outputs, boxes = self.bbox_head_init, self.bbox_head_init(features), None
        for following in self.bbox_head_refine:
            boxes = best_boxes(head, *outputs, boxes)
            head, outputs = following, following(features, boxes)
        return outputs, boxes


def _head(config: dict, train_cfg: Any, test_cfg: Any) -> nn.Module:
    return MODELS.build({**config, "train_cfg": train_cfg, "test_cfg": test_cfg})
