"""ATSS as its authors' own code has it, for the weights they published.

That code counts pixels: a box runs from its first pixel to its last one, its width is ``x2 - x1 + 1``, priors stand at
``stride / 2`` in pixel indices. Seen as areas, where a box ends at the far edge of its last pixel, all of that is the
usual arithmetic with priors at ``(stride + 1) / 2``. What remains is here: biases in the towers, scores under a square
root, candidates chosen by them, and boxes resized by their pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rotated_atss.detection.heads.horizontal_atss_head import HorizontalATSSHead


@MODELS.register_module()
class OfficialATSSHead(HorizontalATSSHead):
    """The head of the official ATSS: every tower convolution has a bias beside its GroupNorm, a score is
    ``sqrt(class x centerness)``, and a level's ``nms_pre`` best are chosen by it.

    Args:
        kwargs: As :class:`HorizontalATSSHead`.
    """

    def _init_layers(self) -> None:
        super()._init_layers()
        for layer in (*self.cls_convs, *self.reg_convs):
            layer.conv.bias = nn.Parameter(torch.zeros(self.feat_channels))

    def predict_by_feat(self, cls_scores: list[Tensor], bbox_preds: list[Tensor], score_factors: list[Tensor], *args,
                        cfg: Any = None, **kwargs) -> list[InstanceData]:  # fmt: skip
        """As :class:`HorizontalATSSHead`, from the candidates with the best products."""
        cfg = self.test_cfg if cfg is None else cfg
        best = [
            mask_all_but_topk(logits.float(), factor.float(), cfg.score_thr, cfg.nms_pre)
            for logits, factor in zip(cls_scores, score_factors)
        ]
        return super().predict_by_feat(best, bbox_preds, score_factors, *args, cfg=cfg, **kwargs)

    def _bbox_post_process(
        self,
        results: InstanceData,
        cfg: Any,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        """NMS on the network's input, then boxes in the original image."""
        results.scores = (results.scores * results.score_factors).sqrt()
        results.score_factors = torch.ones_like(results.scores)
        results = super()._bbox_post_process(results, cfg, False, with_nms, img_meta)
        if rescale:
            results.bboxes = rescale_inclusive_boxes(get_box_tensor(results.bboxes), img_meta["scale_factor"])
        return results


def mask_all_but_topk(logits: Tensor, factor: Tensor, threshold: float, number: int) -> Tensor:
    """Logits of a level with all but the best candidates of each image at minus infinity.

    Args:
        logits: (B, C, H, W), one prior a cell.
        factor: (B, 1, H, W), logits of centerness.
        threshold: A candidate's class score is above it.
        number: How many candidates stay, those with the largest class score times centerness.
    """
    scores = logits.sigmoid()
    products = torch.where(scores > threshold, scores * factor.sigmoid(), -1.0)
    if products[0].numel() <= number:
        return logits
    least = products.flatten(1).topk(number).values[:, -1]
    return logits.masked_fill(products < least[:, None, None, None], -torch.inf)


def rescale_inclusive_boxes(boxes: Tensor, scale_factor: tuple[float, float]) -> Tensor:
    """Boxes (N, 4) of a resized image in the original one: first and last pixel are divided by the scale, and the last
    one belongs to the box.
    """
    last = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    return (boxes - last) / boxes.new_tensor([*scale_factor, *scale_factor]) + last
