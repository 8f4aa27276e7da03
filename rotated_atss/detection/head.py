"""The dense head of the oriented one-stage detectors: RetinaNet's layers, targets and losses from the plain core."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.models.utils import filter_scores_and_topk
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.assign import IGNORED, NONE
from rotated_atss.boxes import scale_obb
from rotated_atss.ops import rotated_nms


@MODELS.register_module()
class RotatedRetinaHead(RetinaHead):
    """RetinaNet's head (``cls_convs``, ``reg_convs``, ``retina_cls``, ``retina_reg``) for oriented boxes.

    What is positive is the assigner's business (:class:`RotatedATSSAssigner` makes it Rotated ATSS); how a box is
    written in deltas is the coder's. Losses, decoding and NMS run in float32 whatever the network's precision.

    Args:
        kwargs: As MMDetection's ``RetinaHead``. ``loss_cls`` takes logits (N, C) and labels (N,); ``loss_bbox`` takes
            deltas, or boxes with
            ``reg_decoded_bbox=True``.

    Raises:
        ValueError: A box loss that does not fit what the coder regresses.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if not self.use_sigmoid_cls:  # read from the config, whatever the loss defaults to
            raise ValueError("the head's classes are sigmoids: set use_sigmoid=True in loss_cls")
        _check_loss_fits(self.loss_bbox, self.reg_decoded_bbox)

    def flat_priors(self, featmap_sizes: list[torch.Size], device: torch.device) -> list[Tensor]:
        """Priors of each level, (H * W * priors a location, 5), float32."""
        return self.prior_generator.grid_priors(featmap_sizes, dtype=torch.float32, device=device)

    def match(
        self,
        priors: list[Tensor],
        featmap_sizes: list[torch.Size],
        gt: InstanceData,
        ignored: InstanceData | None,
        meta: dict,
    ) -> Tensor:
        """(A,) matched objects of one image as :func:`atss_assign`; priors beyond the image's own padding count as
        ignored."""
        flags = torch.cat(self.prior_generator.valid_flags(featmap_sizes, meta["pad_shape"], priors[0].device))
        sizes = [len(level) for level in priors]
        regions = None if ignored is None or not len(ignored) else ignored.bboxes
        if bool(flags.all()):
            return self.assigner.match(torch.cat(priors), sizes, gt.bboxes, regions)[0]
        sizes = [int(level.sum()) for level in flags.split(sizes)]
        matched = torch.full(flags.shape, IGNORED, dtype=torch.int64, device=flags.device)
        matched[flags] = self.assigner.match(torch.cat(priors)[flags], sizes, gt.bboxes, regions)[0]
        return matched

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch, summed over levels, and ``num_pos``, the mean number of positives an image."""
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            sizes = [level.shape[-2:] for level in cls_scores]
            priors = self.flat_priors(sizes, cls_scores[0].device)
            ignored = batch_gt_instances_ignore or [None] * len(batch_gt_instances)
            matched = [
                self.match(priors, sizes, gt, ignore, meta)
                for gt, ignore, meta in zip(batch_gt_instances, ignored, batch_img_metas)
            ]
            logits = _flatten(cls_scores, self.cls_out_channels)  # (B, A, C)
            deltas = _flatten(bbox_preds, self.bbox_coder.encode_size)  # (B, A, 5)
            return self.loss_of_matches(logits, deltas, torch.cat(priors), matched, batch_gt_instances)

    def loss_of_matches(
        self, logits: Tensor, deltas: Tensor, priors: Tensor, matched: list[Tensor], objects: list[InstanceData]
    ) -> dict[str, Tensor]:
        """Losses given each prior's object: (B, A, C) logits, (B, A, 5) deltas, (A, 5) priors, B times (A,)."""
        # an image without positives still counts one: so did the published runs
        number = torch.stack([(each >= 0).sum() for each in matched])
        avg_factor = number.clamp(min=1).sum()
        labels = torch.stack([_labels(each, gt.labels, self.num_classes) for each, gt in zip(matched, objects)])
        weight = torch.stack([each != IGNORED for each in matched]).to(
            logits.dtype if logits.dtype == torch.float64 else torch.float32
        )
        loss_cls = self.loss_cls(logits.flatten(0, 1), labels.flatten(), weight.flatten(), avg_factor=avg_factor)
        pred, target = [], []
        for image, each in enumerate(matched):
            chosen = torch.nonzero(each >= 0).squeeze(1)
            box_pred, box_target = self._box_pair(
                priors[chosen], deltas[image, chosen], objects[image].bboxes[each[chosen]]
            )
            pred.append(box_pred)
            target.append(box_target)
        pred, target = torch.cat(pred), torch.cat(target)
        if len(pred):
            loss_bbox = self.loss_bbox(pred, target, torch.ones_like(pred), avg_factor=avg_factor)
        else:
            loss_bbox = (
                deltas.sum() * 0
            )  # keeps the branch in the graph: data-parallel training waits for every gradient
        return {"loss_cls": loss_cls, "loss_bbox": loss_bbox, "num_pos": number.float().mean()}

    def _box_pair(self, priors: Tensor, deltas: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """What the box loss compares: deltas, or boxes with ``reg_decoded_bbox``."""
        deltas = deltas if deltas.dtype == torch.float64 else deltas.float()
        if self.reg_decoded_bbox:
            return self.bbox_coder.decode(priors, deltas), boxes
        return deltas, self.bbox_coder.encode(priors, boxes)

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: list[Tensor] | None = None,
        batch_img_metas: list[dict] | None = None,
        cfg=None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Boxes (K, 5), scores and labels of each image, best first: top-k a level, decode, NMS a class, top-k an
        image."""
        cfg = self.test_cfg if cfg is None else cfg
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            priors = self.flat_priors([level.shape[-2:] for level in cls_scores], cls_scores[0].device)
            results = []
            for image, meta in enumerate(batch_img_metas or []):
                candidates = [
                    self._level_candidates(cls[image], box[image], prior, cfg)
                    for cls, box, prior in zip(cls_scores, bbox_preds, priors)
                ]
                boxes, scores, labels = (torch.cat(part) for part in zip(*candidates))
                if rescale:
                    boxes = _to_original(boxes, meta)
                if cfg.get("min_bbox_size", 0) > 0:
                    large = (boxes[:, 2:4] > cfg.min_bbox_size).all(1)
                    boxes, scores, labels = boxes[large], scores[large], labels[large]
                if with_nms:
                    keep = rotated_nms(boxes, scores, labels, cfg.nms.iou_threshold)[: cfg.max_per_img]
                    boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
                results.append(InstanceData(bboxes=boxes, scores=scores, labels=labels))
        return results

    def _level_candidates(
        self, cls_score: Tensor, bbox_pred: Tensor, priors: Tensor, cfg
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best (prior, class) pairs of one level of one image: boxes (K, 5), scores (K,), labels (K,)."""
        scores = cls_score.detach().permute(1, 2, 0).reshape(-1, self.cls_out_channels).float().sigmoid()
        scores, labels, index, _ = filter_scores_and_topk(scores, cfg.score_thr, cfg.nms_pre)
        deltas = bbox_pred.detach().permute(1, 2, 0).reshape(-1, self.bbox_coder.encode_size)[index]
        return self.bbox_coder.decode(priors[index], deltas), scores, labels


def _check_loss_fits(loss_bbox: torch.nn.Module, decoded: bool) -> None:
    name = type(loss_bbox).__name__
    wants_boxes = getattr(
        loss_bbox, "on_decoded_boxes", any(part in name for part in ("IoU", "GD", "KLD", "GWD", "KFLoss"))
    )
    if wants_boxes and not decoded:
        raise ValueError(
            f"{name} compares boxes, but the head regresses deltas: set reg_decoded_bbox=True, or use L1Loss"
        )
    if decoded and not wants_boxes:
        raise ValueError(
            f"{name} compares deltas, but reg_decoded_bbox=True gives it boxes: set it to False, or use RotatedIoULoss"
        )


def _flatten(levels: list[Tensor], channels: int) -> Tensor:
    """Levels (B, priors x channels, H, W) to (B, A, channels), in the order of the priors."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, channels) for level in levels], 1)


def _labels(matched: Tensor, classes: Tensor, background: int) -> Tensor:
    """(A,) class of each prior, ``background`` where it has no object."""
    if not len(classes):
        return torch.full_like(matched, background)
    return torch.where(matched > NONE, classes[matched.clamp(min=0)], background)


def _to_original(boxes: Tensor, meta: dict) -> Tensor:
    """Boxes of the network's input as boxes of the image as it was read."""
    scale_x, scale_y = meta["scale_factor"]
    return scale_obb(boxes, (1 / scale_x, 1 / scale_y))
