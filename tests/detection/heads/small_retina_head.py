"""A small RetinaNet head with random outputs, for the tests of its losses and of its detections."""

import math

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from rotated_atss.detection.heads import retina_head as _registers  # noqa: F401

CLASSES, STRIDES = 3, (8, 16, 32)


def build(**changes):
    """Build a head of three levels with one square prior per location by default."""
    generator = dict(
        type="OrientedAnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=STRIDES
    )
    config = dict(
        type="RotatedRetinaHead",
        _scope_="mmdet",
        num_classes=CLASSES,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator={**generator, **changes.pop("anchor_generator", {})},
        bbox_coder=dict(type="OrientedDeltaCoder", angle_version="le90", edge_swap=True, proj_xy=True),
        loss_cls=dict(type="SigmoidFocalLoss", use_sigmoid=True),
        loss_bbox=dict(type="L1Loss", loss_weight=1.5),
        train_cfg=ConfigDict(
            assigner={"type": "RotatedATSSAssigner", "topk": 9, **changes.pop("assigner", {})}, allowed_border=-1
        ),
        test_cfg=ConfigDict(nms_pre=100, min_bbox_size=0, score_thr=0.05, nms=dict(iou_threshold=0.1), max_per_img=30),
    )
    torch.manual_seed(0)
    head = MODELS.build({**config, **changes})
    head.init_weights()
    return head


def random_outputs(images, size=(128, 128), priors=1, seed=0):
    """Random raw outputs of a batch that require gradients."""
    draw = torch.Generator().manual_seed(seed)
    shapes = [(math.ceil(size[0] / stride), math.ceil(size[1] / stride)) for stride in STRIDES]
    scores = [torch.randn(images, priors * CLASSES, *shape, generator=draw) - 2 for shape in shapes]
    deltas = [torch.randn(images, priors * 5, *shape, generator=draw) * 0.3 for shape in shapes]
    return [each.requires_grad_() for each in scores], [each.requires_grad_() for each in deltas]


def meta(pad=(128, 128), **more):
    return dict(img_shape=pad, pad_shape=pad, scale_factor=(1.0, 1.0), **more)
