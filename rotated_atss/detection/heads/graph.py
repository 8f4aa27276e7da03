"""Join the network of a detector and its box decoding in a module that can be exported as a graph."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from rotated_atss.checkpoints.graph_info import BOXES, CLASS_SCORES, SCORES, GraphInfo
from rotated_atss.detection.heads.atss_head import RotatedATSSHead
from rotated_atss.detection.heads.deform_conv import TorchvisionDCNv2
from rotated_atss.detection.heads.dense_head import OrientedDenseHead, flatten_levels
from rotated_atss.detection.heads.horizontal_atss_head import HorizontalATSSHead
from rotated_atss.detection.heads.official_atss_head import OfficialATSSHead
from rotated_atss.detection.heads.r3det import R3Det
from rotated_atss.detection.heads.retina_head import RotatedRetinaHead
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import hbb_to_obb

_HEADS = (RotatedRetinaHead, RotatedATSSHead, HorizontalATSSHead)  # OfficialATSSHead is a HorizontalATSSHead, too


class DetectionGraph(nn.Module):
    """Compute the scores and boxes of all priors of a detector, without top-k selection and NMS.

    The module contains a copy of the model in evaluation mode on the CPU. It also normalizes the images.

    Args:
        model: A detector with one of this package's heads.
        precision: Precision of the network, ``float32`` or ``float16``. Normalization and decoding are always float32.

    Raises:
        UserError: The detector has another kind of head.

    Example::

        graph = DetectionGraph(build_model(load_config("rotated_atss_obb_r18_demo_le90")))
        scores, boxes = graph(torch.zeros(1, 3, 256, 256))
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        _find_detection_head(model)  # raises the error for an unsupported model before the model is copied
        self.model: Any = copy.deepcopy(model).cpu().eval()
        self.head = _find_detection_head(self.model)
        preprocessor: Any = self.model.data_preprocessor
        self.precision, self.to_rgb = precision, bool(preprocessor._channel_conversion)
        for name, default in (("mean", 0.0), ("std", 1.0)):  # the defaults leave images unchanged
            value = getattr(preprocessor, name) if preprocessor._enable_normalize else torch.full((3,), default)
            self.register_buffer(name, value.detach().clone().float().view(1, -1, 1, 1))
        for layer in self.model.modules():
            if isinstance(layer, TorchvisionDCNv2):
                layer.uses_standard_operators = True  # few runtimes have torchvision's deformable convolution
        if precision == "float16":
            self.model.half()
        self.eval()

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in their order."""
        return [SCORES, BOXES, *([CLASS_SCORES] if self._has_centerness else [])]

    @property
    def info(self) -> GraphInfo:
        """Metadata that is written into the file of the exported graph."""
        generator = self.head.prior_generator
        is_official = isinstance(self.head, OfficialATSSHead)
        clamp = "none"
        # MMDetection's coders clip boxes by default, even those without the attribute clip_border
        if isinstance(self.head, HorizontalATSSHead) and getattr(self.head.bbox_coder, "clip_border", True):
            clamp = "border"
        elif isinstance(self.head, OrientedDenseHead) and (self.head.test_cfg or {}).get("clamp_centers", False):
            clamp = "centers"
        return GraphInfo(
            precision=self.precision,
            strides=tuple(int(stride) for stride, _ in generator.strides),
            priors_per_location=tuple(generator.num_base_priors),
            # The top-k selection ranks by a score: "final" is the output "scores", which combines class score and
            # centerness; "class" is the class score alone.
            rank_by="final" if is_official else "class",
            clamp=clamp,
            # in the official code, x2 and y2 are the indices of the last pixels inside the box
            inclusive_pixels=is_official,
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute scores and boxes from images.

        Args:
            images: (B, 3, H, W) float32, RGB, from 0 to 255. H and W must be multiples of the model's pad divisor.

        Returns:
            Scores (B, A, C), and boxes (B, A, 5) in pixels of the input, for A priors and C classes. If the head has a
            centerness branch, the scores are products of class score and centerness, and a third output has the class
            scores (B, A, C). For :class:`OfficialATSSHead`, the scores are the square roots of the products.
        """
        # If the preprocessor converts the BGR images of OpenCV to RGB, the network takes RGB. Otherwise it takes BGR.
        inputs = images if self.to_rgb else images[:, [2, 1, 0]]
        inputs = (inputs - self.mean) / self.std
        if self.precision == "float16":
            inputs = inputs.half()
        # Class logits, deltas and, from a head with centerness, centerness logits; each a list with one map per level.
        head_outputs: Any
        if isinstance(self.model, R3Det):
            head_outputs, priors = self.model.forward_stages(inputs)
        else:
            head_outputs, priors = self.head(self.model.extract_feat(inputs)), None
        cls_logits, bbox_preds = head_outputs[:2]
        if priors is None:
            featmap_sizes = [level.shape[-2:] for level in cls_logits]
            priors = self.head.prior_generator.grid_priors(featmap_sizes, dtype=torch.float32, device=images.device)
        class_scores = flatten_levels(cls_logits, self.head.cls_out_channels).float().sigmoid()
        deltas = flatten_levels(bbox_preds, self.head.bbox_coder.encode_size).float()
        boxes = self._decode(torch.cat(priors, -2), deltas)
        if not self._has_centerness:
            return class_scores, boxes
        scores = class_scores * flatten_levels(head_outputs[2], 1).float().sigmoid()
        if isinstance(self.head, OfficialATSSHead):
            scores = scores.sqrt()
        return scores, boxes, class_scores

    @property
    def _has_centerness(self) -> bool:
        # All supported heads except RotatedRetinaHead have a centerness branch.
        return not isinstance(self.head, RotatedRetinaHead)

    def _decode(self, priors: Tensor, deltas: Tensor) -> Tensor:
        """Decode deltas (B, A, 4 or 5) relative to priors (A, ...) or (B, A, ...), and return boxes (B, A, 5)."""
        batch_size, num_priors, _ = deltas.shape
        priors = priors.expand(batch_size, num_priors, priors.shape[-1])
        boxes = self.head.bbox_coder.decode(priors.flatten(0, 1), deltas.flatten(0, 1))
        boxes = boxes.view(batch_size, num_priors, boxes.shape[-1])
        return boxes if boxes.shape[-1] == 5 else hbb_to_obb(boxes)


def _find_detection_head(model: Any) -> Any:
    """Return the head that predicts the detections of a model. For R3Det, this is the head of the last stage.

    Raises:
        UserError: The model has no head of this package, and cannot be exported.
    """
    if isinstance(model, R3Det):
        head = model.bbox_head_refine[-1] if len(model.bbox_head_refine) else model.bbox_head_init
    else:
        head = getattr(model, "bbox_head", None)
    if not isinstance(head, _HEADS):
        unsupported = type(model if head is None else head).__name__
        supported = ", ".join(cls.__name__ for cls in (*_HEADS, OfficialATSSHead, R3Det))
        raise UserError(f"a model with {unsupported} cannot be exported", hint=f"supported are {supported}")
    return head
