"""R3Det (Yang et al., arXiv 1908.05612): a RetinaNet whose boxes are refined by further stages.

Between two stages, the features are aligned with the boxes of the earlier stage.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """Feature refinement module of R3Det, in plain PyTorch for every device.

    The module convolves the feature map of a level. To the features of each location, it adds the convolved features of
    two points: of the location itself, and of the center of the box that was predicted at the location.

    Args:
        feat_channels: Channels of every level.
        strides: Stride of each level in pixels.
        transposed: Whether to swap x and y when sampling, see :func:`rotated_atss.ops.feature_align.align_features`.
            Weights work only with the sampling that they were trained with. Therefore the value is saved with the
            weights, and loading them replaces it.
    """

    def __init__(self, feat_channels: int, strides: list[int], transposed: bool = False) -> None:
        super().__init__()
        self.strides = list(strides)
        self.conv_5_1 = nn.Conv2d(feat_channels, feat_channels, (5, 1), padding=(2, 0))
        self.conv_1_5 = nn.Conv2d(feat_channels, feat_channels, (1, 5), padding=(0, 2))
        self.conv_1_1 = nn.Conv2d(feat_channels, feat_channels, 1)
        self.register_buffer("transposed", torch.tensor(float(transposed)))
        # forward reads this copy of the value, because reading the buffer would synchronize with the device.
        self._is_transposed = transposed

    def init_weights(self) -> None:
        """Initialize the convolutions with a normal distribution."""
        for layer in (self.conv_5_1, self.conv_1_5, self.conv_1_1):
            normal_init(layer, std=0.01)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_transposed = bool(self.transposed)

    def forward(self, features: tuple[Tensor, ...], boxes: list[Tensor]) -> list[Tensor]:
        """Refine the features of each level.

        Args:
            features: Feature maps per level, (B, C, H, W).
            boxes: Boxes per level, (B, H * W, 5), one per location.

        Returns:
            Feature maps per level, (B, C, H, W).
        """
        refined = []
        for level, level_boxes, stride in zip(features, boxes, self.strides):
            convolved = self.conv_5_1(self.conv_1_5(level)) + self.conv_1_1(level)
            # The result is the sum of the convolved features at the locations and at the centers of their boxes.
            aligned = align_features(convolved, level_boxes, stride, transposed=self._is_transposed)
            refined.append(level + aligned.to(level.dtype))
        return refined


@MODELS.register_module()
class RotatedRefineHead(RotatedRetinaHead):
    """Head of a refinement stage of R3Det; its priors are the boxes of the previous stage, one per location.

    Args:
        frm_cfg: Config of the feature refinement module.
        args, kwargs: Arguments of :class:`RotatedRetinaHead`. ``anchor_generator`` must be a
            :class:`rotated_atss.detection.task_modules.prior_generators.PriorGrid`. It describes the grid of each level
            and generates no priors.
    """

    def __init__(self, *args: Any, frm_cfg: dict, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.feat_refine_module = MODELS.build(frm_cfg)

    def forward(self, features: tuple[Tensor, ...], boxes: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Refine the features with the boxes, and compute class logits and deltas from the refined features.

        Args:
            features: Feature maps per level, (B, C, H, W).
            boxes: Boxes of the previous stage per level, (B, H * W, 5).

        Returns:
            Class logits (B, C, H, W) and deltas (B, 5, H, W) per level.
        """
        return super().forward(tuple(self.feat_refine_module(features, boxes)))


def decode_best_boxes(
    head: RotatedRetinaHead, cls_scores: list[Tensor], bbox_preds: list[Tensor], priors: list[Tensor] | None = None
) -> list[Tensor]:
    """Decode the highest-scoring box of each location, without gradient.

    Args:
        head: Head that computed the outputs.
        cls_scores: Class logits per level, (B, priors per location * C, H, W).
        bbox_preds: Deltas per level, (B, priors per location * 5, H, W).
        priors: Priors per level, (B, H * W, 5), one per location; None for the priors that the head generates.

    Returns:
        Boxes per level, (B, H * W, 5).

    Example::

        boxes = decode_best_boxes(head, *head(features))
    """
    if priors is None:
        priors = head.multi_level_priors([level.shape[-2:] for level in cls_scores], cls_scores[0].device)
    return [
        _decode_best_boxes_of_level(head, level_logits, level_deltas, level_priors)
        for level_logits, level_deltas, level_priors in zip(cls_scores, bbox_preds, priors)
    ]


@torch.no_grad()
def _decode_best_boxes_of_level(head: RotatedRetinaHead, logits: Tensor, deltas: Tensor, priors: Tensor) -> Tensor:
    with torch.autocast(logits.device.type, enabled=False):
        batch_size, num_base_priors = logits.shape[0], head.num_base_priors  # priors per location
        logits = logits.permute(0, 2, 3, 1).reshape(batch_size, -1, num_base_priors, head.cls_out_channels)
        deltas = deltas.permute(0, 2, 3, 1).reshape(batch_size, -1, num_base_priors, 5)
        # Generated priors (H * W * num_base_priors, 5) are the same for all images. Boxes of a previous stage
        # (B, H * W, 5) differ between images. Both become (B, H * W, num_base_priors, 5).
        priors = priors.reshape(-1, *deltas.shape[1:]).expand_as(deltas)
        best_prior_index = logits.amax(-1).argmax(-1)  # (B, H * W)
        gather_index = best_prior_index[..., None, None].expand(-1, -1, 1, 5)
        best_priors, best_deltas = priors.gather(2, gather_index).squeeze(2), deltas.gather(2, gather_index).squeeze(2)
        # The boxes are not normalized to the angle version, because normalization may swap w and h. The deltas dx and
        # dy of the next stage would then be relative to the other side.
        return head.bbox_coder.decode(best_priors, best_deltas, normalize=False)


@MODELS.register_module()
class R3Det(BaseDetector):
    """R3Det with any number of refinement stages.

    The parameter names are those of ``RefineSingleStageDetector`` in mmrotate 1.x.

    Args:
        backbone: Config of the backbone.
        neck: Config of the neck.
        bbox_head_init: Config of the head of the first stage.
        bbox_head_refine: Configs of the heads of the refinement stages, in order; the last one predicts the detections.
        train_cfg: Training settings. ``init`` contains the settings of the first head. ``refine`` (settings) and
            ``stage_loss_weights`` (factors of the losses) have one entry per refinement stage.
        test_cfg: Test settings of the heads.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Config of the initialization.

    Raises:
        ValueError: ``refine`` or ``stage_loss_weights`` does not have one entry per refinement stage.
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
        self.bbox_head_init = _build_head(bbox_head_init, train_cfg.get("init"), test_cfg)
        num_stages = len(bbox_head_refine)
        stage_cfgs = _require_one_per_stage("refine", train_cfg.get("refine") or [None] * num_stages, num_stages)
        self.bbox_head_refine = ModuleList(
            _build_head(head_cfg, stage_cfg, test_cfg) for head_cfg, stage_cfg in zip(bbox_head_refine, stage_cfgs)
        )
        loss_weights = train_cfg.get("stage_loss_weights") or [1.0] * num_stages
        self.loss_weights = _require_one_per_stage("stage_loss_weights", loss_weights, num_stages)

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return self.bbox_head_init.num_classes

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps of the neck, (B, C, H, W) per level."""
        return self.neck(self.backbone(batch_inputs))

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Compute the losses of every stage.

        Args:
            batch_inputs: (B, 3, H, W).
            batch_data_samples: Ground truth of each image.

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``num_pos`` of the first stage, and the same values of each refinement stage
            with the suffix ``_refine_N``, where N is the index of the stage.
        """
        features = self.extract_feat(batch_inputs)
        gt_instances, gt_instances_ignore, metas = unpack_gt_instances(batch_data_samples)
        head, boxes = self.bbox_head_init, None
        cls_scores, bbox_preds = head(features)
        losses = head.loss_by_feat(cls_scores, bbox_preds, gt_instances, metas, gt_instances_ignore)
        for stage, (next_head, loss_weight) in enumerate(zip(self.bbox_head_refine, self.loss_weights)):
            boxes = decode_best_boxes(head, cls_scores, bbox_preds, boxes)
            head = next_head
            cls_scores, bbox_preds = head(features, boxes)
            stage_losses = head.loss_by_feat(
                cls_scores, bbox_preds, gt_instances, metas, gt_instances_ignore, priors=boxes
            )
            for name, value in stage_losses.items():
                is_loss = "loss" in name  # num_pos is not weighted
                losses[f"{name}_refine_{stage}"] = value * loss_weight if is_loss else value
        return losses

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True) -> SampleList:
        """Detect objects with the last stage.

        Args:
            batch_inputs: (B, 3, H, W).
            batch_data_samples: Meta information of each image.
            rescale: Whether to scale the boxes to the original images.

        Returns:
            The samples with ``pred_instances``.
        """
        outputs, boxes = self.forward_stages(batch_inputs)
        metas = [sample.metainfo for sample in batch_data_samples]
        last_head = self.bbox_head_refine[-1] if self.bbox_head_refine else self.bbox_head_init
        detections = last_head.predict_by_feat(*outputs, batch_img_metas=metas, rescale=rescale, priors=boxes)
        return self.add_pred_to_datasample(batch_data_samples, detections)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: SampleList | None = None) -> tuple:
        """Return the raw outputs of the last stage."""
        return self.forward_stages(batch_inputs)[0]

    def forward_stages(self, batch_inputs: Tensor) -> tuple[tuple[list[Tensor], list[Tensor]], list[Tensor] | None]:
        """Run all stages.

        Returns:
            The outputs of the last stage (class logits and deltas per level), and the priors of the last stage per
            level. These priors are the boxes of the previous stage; they are None if there are no refinement stages.
        """
        features = self.extract_feat(batch_inputs)
        head, boxes = self.bbox_head_init, None
        cls_scores, bbox_preds = head(features)
        for next_head in self.bbox_head_refine:
            boxes = decode_best_boxes(head, cls_scores, bbox_preds, boxes)
            cls_scores, bbox_preds = next_head(features, boxes)
            head = next_head
        return (cls_scores, bbox_preds), boxes


def _build_head(head_cfg: dict, train_cfg: Any, test_cfg: Any) -> Any:
    return MODELS.build({**head_cfg, "train_cfg": train_cfg, "test_cfg": test_cfg})


def _require_one_per_stage(name: str, values: Sequence[Any], num_stages: int) -> list[Any]:
    """Return the values of a setting as a list; raise ``ValueError`` unless there is one per refinement stage."""
    if len(values) != num_stages:
        raise ValueError(f"train_cfg.{name} must have {num_stages} entries, one per refinement head, got {len(values)}")
    return list(values)
