"""Head of the official ATSS implementation, for the weights of its authors.

The official code uses inclusive pixel coordinates: the width of a box is ``x2 - x1 + 1``, and priors are centerd at
``stride / 2`` in pixel indices. With continuous coordinates, where a box ends at the far edge of its last pixel, this
is the usual arithmetic with priors centerd at ``(stride + 1) / 2``. The remaining differences are implemented here:
biases in the towers, scores that are square roots, top-k selection by these scores, and scaling of inclusive boxes.
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
    """Head of the official ATSS implementation.

    Tower convolutions have a bias before their GroupNorm. The score is ``sqrt(class score * centerness)``, and it
    selects the ``nms_pre`` candidates per level.

    Args:
        kwargs: Arguments of :class:`HorizontalATSSHead`.
    """

    def _init_layers(self) -> None:
        super()._init_layers()
        for layer in (*self.cls_convs, *self.reg_convs):
            layer.conv.bias = nn.Parameter(torch.zeros(self.feat_channels))

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: list[Tensor],
        *args: Any,
        cfg: Any = None,
        **kwargs: Any,
    ) -> list[InstanceData]:
        """Decode the candidates with the highest class score times centerness of each level."""
        cfg = self.test_cfg if cfg is None else cfg
        topk_scores = [
            mask_all_but_topk(logits.float(), centerness.float(), cfg.score_thr, cfg.nms_pre)
            for logits, centerness in zip(cls_scores, score_factors)
        ]
        return super().predict_by_feat(topk_scores, bbox_preds, score_factors, *args, cfg=cfg, **kwargs)

    def _bbox_post_process(
        self,
        results: InstanceData,
        cfg: Any,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        """Apply NMS in the network input, then scale the boxes to the original image."""
        results.scores = (results.scores * results.score_factors).sqrt()
        results.score_factors = torch.ones_like(results.scores)
        results = super()._bbox_post_process(results, cfg, False, with_nms, img_meta)
        if rescale:
            assert img_meta is not None
            results.bboxes = rescale_inclusive_boxes(get_box_tensor(results.bboxes), img_meta["scale_factor"])
        return results


def mask_all_but_topk(logits: Tensor, centerness: Tensor, score_thr: float, topk: int) -> Tensor:
    """Set the logits of all but the best candidates of each image to minus infinity.

    Args:
        logits: (B, C, H, W) class logits of a level with one prior per location.
        centerness: (B, 1, H, W) centerness logits.
        score_thr: Candidates need a class score above this value.
        topk: Number of candidates kept per image, by class score times centerness.

    Returns:
        (B, C, H, W).

    Example:
        >>> logits, centerness = torch.tensor([[[[3.0, 2.0]]]]), torch.tensor([[[[-3.0, 0.0]]]])
        >>> mask_all_but_topk(logits, centerness, score_thr=0.05, topk=1)
        tensor([[[[-inf, 2.]]]])
    """
    scores = logits.sigmoid()
    products = torch.where(scores > score_thr, scores * centerness.sigmoid(), -1.0)
    if products[0].numel() <= topk:
        return logits
    lowest_kept = products.flatten(1).topk(topk).values[:, -1]
    return logits.masked_fill(products < lowest_kept[:, None, None, None], -torch.inf)


def rescale_inclusive_boxes(boxes: Tensor, scale_factor: tuple[float, float]) -> Tensor:
    """Scale boxes to the original image as the official code scales inclusive pixel coordinates.

    The indices of the first and the last pixel are divided by the scale; the last pixel belongs to the box.

    Args:
        boxes: (N, 4) ``x1, y1, x2, y2`` in the network input.
        scale_factor: Scale (x, y) of the network input.

    Returns:
        (N, 4).

    Example:
        >>> rescale_inclusive_boxes(torch.tensor([[30.0, 15.0, 31.0, 16.0]]), (1.5, 3.0))
        tensor([[20.,  5., 21.,  6.]])
    """
    last_pixel = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    return (boxes - last_pixel) / boxes.new_tensor([*scale_factor, *scale_factor]) + last_pixel
