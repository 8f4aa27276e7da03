"""ATSS for horizontal boxes: MMDetection's head where it serves, and the deformable layer of its DCNv2 models."""

from __future__ import annotations

import math

import torch
from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor, get_box_wh, scale_boxes
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import deform_conv2d, nms


@ROOT_MODELS.register_module()  # where mmcv looks for layers, whatever the scope
class TorchvisionDCNv2(nn.Module):
    """Modulated deformable convolution (DCNv2, arXiv 1811.11168) on torchvision's kernel: CPU and CUDA, no mmcv ops.

    Parameters (``weight``, ``bias``, ``conv_offset.*``) and results are those of mmcv's ``ModulatedDeformConv2dPack``:
    ``conv_offset`` gives, for each of ``deform_groups``, (dy, dx) a kernel cell, then one mask a kernel cell before its
    sigmoid; it starts at zero. Computed in float32 under autocast.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: As ``torch.nn.Conv2d``.
        deform_groups: Groups of input channels with offsets of their own.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        # what ConvModule and MMEngine's initialisers ask of a convolution
        self.in_channels, self.out_channels, self.kernel_size, self.groups = in_channels, out_channels, kernel, groups
        self.transposed, self.output_padding = False, 0
        self.conv_offset = nn.Conv2d(
            in_channels, deform_groups * 3 * math.prod(kernel), kernel, stride, padding, dilation, bias=True
        )
        self.init_weights()

    def init_weights(self) -> None:
        """Uniform weights as mmcv's layer; no offset, every mask one half."""
        reach = 1 / math.sqrt(self.in_channels * math.prod(self.kernel_size))
        nn.init.uniform_(self.weight, -reach, reach)
        for zeroed in (self.bias, self.conv_offset.weight, self.conv_offset.bias):
            if zeroed is not None:
                nn.init.zeros_(zeroed)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H', W')."""
        with torch.autocast(x.device.type, enabled=False):
            wide = x if x.dtype == torch.float64 else x.float()
            offset, mask = self.conv_offset(wide).tensor_split([2 * self._cells()], 1)
            # torchvision's kernel crashes the process on an offset that is not a number; the mask carries it on instead
            offset = offset.nan_to_num()
            out = deform_conv2d(
                wide, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask.sigmoid()
            )
        return out.to(x.dtype)

    def _cells(self) -> int:
        return self.conv_offset.out_channels // 3


@MODELS.register_module()
class HorizontalATSSHead(ATSSHead):
    """MMDetection's ATSS head with losses, decoding and NMS in float32 whatever the network's precision, torchvision's
    NMS, and the deformable last tower layers of the DCNv2 models.

    Args:
        last_conv_cfg: Convolution of the last layer of both towers, as ``dict(type="TorchvisionDCNv2")``; None keeps
            plain ones.
        kwargs: As MMDetection's ``ATSSHead``.
    """

    def __init__(self, *args, last_conv_cfg: dict | None = None, **kwargs) -> None:
        self.last_conv_cfg = last_conv_cfg
        super().__init__(*args, **kwargs)

    @property
    def num_anchors(self) -> int:
        """Without the warning that MMDetection gives at its own use of this name."""
        return self.num_base_priors

    def _init_layers(self) -> None:
        super()._init_layers()
        if self.last_conv_cfg is None:
            return
        channels = self.in_channels if self.stacked_convs == 1 else self.feat_channels
        for tower in (self.cls_convs, self.reg_convs):
            tower[-1] = ConvModule(
                channels, self.feat_channels, 3, padding=1, conv_cfg=self.last_conv_cfg, norm_cfg=self.norm_cfg
            )

    def init_weights(self) -> None:
        """As MMDetection's; the offsets, which its rule for every convolution reaches too, start at zero again."""
        super().init_weights()
        for layer in self.modules():
            if isinstance(layer, TorchvisionDCNv2):
                layer.init_weights()

    def loss_by_feat(self, cls_scores: list[Tensor], bbox_preds: list[Tensor], centernesses: list[Tensor], *args,
                     **kwargs) -> dict:  # fmt: skip
        """As MMDetection's, in float32 or wider, and ``num_pos``, the mean number of positives an image."""
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            losses = super().loss_by_feat(*map(_wide, (cls_scores, bbox_preds, centernesses)), *args, **kwargs)
        return {**losses, "num_pos": self._num_pos}

    def get_targets(self, *args, **kwargs) -> tuple:
        """As MMDetection's; the positives, which its losses do not tell, are counted on the way."""
        targets = super().get_targets(*args, **kwargs)
        labels = torch.cat(targets[1], 1)  # (B, A), level after level
        self._num_pos = ((labels >= 0) & (labels < self.num_classes)).sum(1).float().mean()
        return targets

    def predict_by_feat(self, cls_scores: list[Tensor], bbox_preds: list[Tensor], score_factors: list[Tensor], *args,
                        **kwargs) -> list[InstanceData]:  # fmt: skip
        """As MMDetection's, in float32 or wider."""
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            return super().predict_by_feat(*map(_wide, (cls_scores, bbox_preds, score_factors)), *args, **kwargs)

    def _bbox_post_process(
        self, results: InstanceData, cfg, rescale: bool = False, with_nms: bool = True, img_meta: dict | None = None
    ) -> InstanceData:
        """Boxes in the original image, scores times centerness, NMS a class: MMDetection's steps on torchvision's
        NMS.
        """
        if rescale:
            results.bboxes = scale_boxes(results.bboxes, [1 / scale for scale in img_meta["scale_factor"]])
        results.scores = results.scores * results.pop("score_factors")
        if cfg.get("min_bbox_size", -1) >= 0:
            width, height = get_box_wh(results.bboxes)
            results = results[(width > cfg.min_bbox_size) & (height > cfg.min_bbox_size)]
        if not with_nms:
            return results
        keep = classwise_nms(get_box_tensor(results.bboxes), results.scores, results.labels, cfg.nms.iou_threshold)
        return results[keep[: cfg.max_per_img]]


def classwise_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Indices (K,) of the kept boxes (N, 4), best first; equal scores in input order. Classes are taken one at a time
    and not moved apart, which would cost coordinates their last digits.
    """
    kept = [torch.zeros(0, dtype=torch.int64, device=boxes.device)]
    for label in labels.unique():
        members = torch.nonzero(labels == label).squeeze(1)
        kept.append(members[nms(boxes[members], scores[members], iou_threshold)])
    keep = torch.cat(kept).sort().values
    return keep[scores[keep].argsort(descending=True, stable=True)]


def _wide(levels: list[Tensor]) -> list[Tensor]:
    return [level if level.dtype == torch.float64 else level.float() for level in levels]
