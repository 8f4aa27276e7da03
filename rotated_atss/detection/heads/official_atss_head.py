"""Head of the official ATSS implementation, for the weights of its authors.

The official code uses inclusive pixel coordinates: the width of a box is ``x2 - x1 + 1``, and the first prior of a
level is centered at pixel index ``stride / 2``. In the continuous coordinates of this package, the width is
``x2 - x1``, and the first prior is centered at ``(stride + 1) / 2``; the configs set this center. The remaining
differences from MMDetection's ATSS head are implemented here:

- Network: the convolutions of the towers have a bias.
- Boxes in training: the center test (``center_margin`` of the assigner), the centerness targets and the GIoU loss use
  boxes that extend from the center of the first pixel to the center of the last pixel.
- Padding in training: priors in the padding of a batch are trained as background.
- Normalizers of the losses: they are sums over the batch. MMDetection counts at least one positive per image.
- Inference: a score is ``sqrt(class score * centerness)``, the top-k selection is by this score, and boxes are rescaled
  in inclusive coordinates.

One difference, in the ground truth, is not reproduced: when the official code resizes an image by ``scale``, the right
side x2 of a box becomes ``(x2 - 1) * scale + 1`` instead of ``x2 * scale``, which is ``scale - 1`` pixels less. The
same holds for the lower side.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rotated_atss.detection.heads.dense_head import flatten_levels
from rotated_atss.detection.heads.horizontal_atss_head import HorizontalATSSHead
from rotated_atss.ops.box_transforms import rescale_inclusive_boxes
from rotated_atss.ops.dtypes import upcast


@MODELS.register_module()
class OfficialATSSHead(HorizontalATSSHead):
    """Head of the official ATSS implementation.

    Tower convolutions have a bias before their GroupNorm. The score is ``sqrt(class score * centerness)``; the
    ``nms_pre`` candidates with the highest score are selected per level.

    Training requires an assigner with ``center_margin=0.51``, as in the configs. This is the sum of two distances: the
    0.5 px between the side of a box and the centers of its outermost pixels, and the margin of 0.01 px of the official
    center test.

    Args:
        kwargs: Arguments of :class:`HorizontalATSSHead`.
    """

    def _init_layers(self) -> None:
        super()._init_layers()
        for layer in (*self.cls_convs, *self.reg_convs):
            layer.conv.bias = nn.Parameter(torch.zeros(self.feat_channels))

    def get_anchors(self, *args: Any, **kwargs: Any) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Generate the priors of each image and mark all as valid, including those in the padding of the batch."""
        priors, valid_flags = super().get_anchors(*args, **kwargs)  # lists per image of tensors per level
        return priors, [[torch.ones_like(level) for level in image] for image in valid_flags]

    def centerness_target(self, anchors: Tensor, gts: Tensor) -> Tensor:
        """Compute the centerness (P,) of priors (P, 4) in boxes (P, 4) that are shrunk to pixel centers."""
        return super().centerness_target(anchors, shrink_to_pixel_centers(gts))

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch from the outputs of the head.

        Args:
            cls_scores: Class logits per level, (B, C, H, W).
            bbox_preds: Deltas per level, (B, 4, H, W).
            centernesses: Centerness logits per level, (B, 1, H, W).
            batch_gt_instances: Ground truth of each image.
            batch_img_metas: Meta information of each image.
            batch_gt_instances_ignore: Ignored regions of each image.

        Returns:
            ``loss_cls``, ``loss_bbox``, ``loss_centerness`` and ``num_pos``, the mean number of positives per image.
        """
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            featmap_sizes = [level.shape[-2:] for level in cls_scores]
            anchors = self.get_anchors(featmap_sizes, batch_img_metas, device=cls_scores[0].device)
            targets = self.get_targets(*anchors, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore)
            # All have the shape (B * A, ...), for A priors per image. Rows of gt_boxes are valid for positives only.
            priors, labels, label_weights, gt_boxes = (torch.cat(levels, 1).flatten(0, 1) for levels in targets[:4])
            logits = upcast(flatten_levels(cls_scores, self.cls_out_channels)).flatten(0, 1)  # (B * A, C)
            deltas = upcast(flatten_levels(bbox_preds, 4)).flatten(0, 1)  # (B * A, 4)
            centerness_logits = upcast(flatten_levels(centernesses, 1)).flatten()  # (B * A,)
            pos_inds = torch.nonzero(labels < self.num_classes).squeeze(1)
            # The minimum of 1 applies to the whole batch; in MMDetection, it applies to each image.
            avg_factor = reduce_mean(logits.new_tensor(len(pos_inds))).clamp(min=1)
            target_centerness = self.centerness_target(priors[pos_inds], gt_boxes[pos_inds])
            # The official code has no minimum of this normalizer; tiny only avoids a division by zero.
            total_weight = reduce_mean(target_centerness.sum()).clamp(min=torch.finfo(target_centerness.dtype).tiny)
            losses = {"loss_cls": self.loss_cls(logits, labels, label_weights, avg_factor=avg_factor)}
            if len(pos_inds):
                boxes = self.bbox_coder.decode(priors[pos_inds], deltas[pos_inds])
                losses["loss_bbox"] = self.loss_bbox(
                    shrink_to_pixel_centers(boxes),
                    shrink_to_pixel_centers(gt_boxes[pos_inds]),
                    weight=target_centerness,
                    avg_factor=total_weight,
                )
                losses["loss_centerness"] = self.loss_centerness(
                    centerness_logits[pos_inds], target_centerness, avg_factor=avg_factor
                )
            else:  # keep the parameters in the graph, as DDP requires
                losses |= {"loss_bbox": deltas.sum() * 0, "loss_centerness": centerness_logits.sum() * 0}
        return {**losses, "num_pos": self._num_pos}

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: list[Tensor],
        *args: Any,
        cfg: Any = None,
        **kwargs: Any,
    ) -> list[InstanceData]:
        """Decode the ``nms_pre`` candidates per level with the highest product of class score and centerness."""
        cfg = self.test_cfg if cfg is None else cfg
        # The base class selects candidates by the class score alone. It drops masked candidates, because their class
        # score is 0.
        topk_logits = [
            mask_all_but_topk(logits.float(), centerness.float(), cfg.score_thr, cfg.nms_pre)
            for logits, centerness in zip(cls_scores, score_factors)
        ]
        return super().predict_by_feat(topk_logits, bbox_preds, score_factors, *args, cfg=cfg, **kwargs)

    def _bbox_post_process(
        self,
        results: InstanceData,
        cfg: Any,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        """Apply NMS in pixels of the network input, then scale the boxes to the original image."""
        results.scores = (results.scores * results.score_factors).sqrt()
        results.score_factors = torch.ones_like(results.scores)  # the base class would multiply by centerness again
        results = super()._bbox_post_process(results, cfg, rescale=False, with_nms=with_nms, img_meta=img_meta)
        if rescale:
            assert img_meta is not None
            results.bboxes = rescale_inclusive_boxes(get_box_tensor(results.bboxes), img_meta["scale_factor"])
        return results


def mask_all_but_topk(logits: Tensor, centerness: Tensor, score_thr: float, topk: int) -> Tensor:
    """Set the logits of all but the ``topk`` best candidates of each image to minus infinity.

    Args:
        logits: (B, C, H, W) class logits of a level with one prior per location.
        centerness: (B, 1, H, W) centerness logits.
        score_thr: Candidates have a class score above this value.
        topk: Number of candidates per image to keep: those with the highest product of class score and centerness.

    Returns:
        (B, C, H, W). All logits are kept if there are fewer than ``topk`` candidates.

    Example:
        >>> logits, centerness = torch.tensor([[[[3.0, 2.0]]]]), torch.tensor([[[[-3.0, 0.0]]]])
        >>> mask_all_but_topk(logits, centerness, score_thr=0.05, topk=1)
        tensor([[[[-inf, 2.]]]])
    """
    scores = logits.sigmoid()
    # Entries up to the threshold get -1, which is less than any product, so that candidates come first in the top k.
    products = torch.where(scores > score_thr, scores * centerness.sigmoid(), -1.0)
    if products[0].numel() <= topk:
        return logits
    lowest_topk_product = products.flatten(1).topk(topk).values[:, -1]  # (B,)
    return logits.masked_fill(products < lowest_topk_product[:, None, None, None], -torch.inf)


def shrink_to_pixel_centers(boxes: Tensor) -> Tensor:
    """Shrink boxes by half a pixel per side, to the centers of their first and last pixels.

    Args:
        boxes: (N, 4) ``x1, y1, x2, y2``.

    Returns:
        (N, 4); sides shorter than one pixel become 0.

    Example:
        >>> shrink_to_pixel_centers(torch.tensor([[20.0, 5.0, 24.0, 6.0]]))
        tensor([[20.5000,  5.5000, 23.5000,  5.5000]])
    """
    low = boxes[:, :2] + 0.5
    return torch.cat((low, torch.maximum(low, boxes[:, 2:] - 0.5)), 1)
