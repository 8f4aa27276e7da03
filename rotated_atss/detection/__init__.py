"""Heads, losses, assigners, datasets and metrics of this package, registered with MMDetection.

Importing this subpackage registers the classes. MMEngine imports it because the base configs list it in
``custom_imports``. The classes are adapters: the computation is in other subpackages of ``rotated_atss``, which do not
need MMDetection.
"""

import contextlib
import io

from mmengine.config.utils import MODULE2PACKAGE

from rotated_atss.mmcv_ext import provide_mmcv_ext

with contextlib.redirect_stdout(io.StringIO()):  # hides MMDetection's message about a missing optional package
    # The next line imports mmcv.ops, which fails if mmcv has no compiled ops. This call then provides a substitute.
    provide_mmcv_ext()
    import mmdet.models  # noqa: F401

from rotated_atss.detection import registry
from rotated_atss.detection.datasets import box_type, coco, dota, loading, pipeline, transforms
from rotated_atss.detection.engine import checkpoint_hook, hooks, nonfinite_loss, optim_wrapper, tta
from rotated_atss.detection.evaluation import coco_metric, dota_metric
from rotated_atss.detection.heads import (
    atss_head,
    deform_conv,
    horizontal_atss_head,
    loss_modules,
    official_atss_head,
    r3det,
    retina_head,
)
from rotated_atss.detection.task_modules import assigners, box_coders, prior_generators, selection_assigner

# Allows configs outside this package to inherit from its configs with ``_base_ = "rotated_atss::dota/..."``.
MODULE2PACKAGE["rotated_atss"] = "rotated_atss"

__all__ = [
    "assigners",
    "atss_head",
    "box_coders",
    "box_type",
    "checkpoint_hook",
    "coco",
    "coco_metric",
    "deform_conv",
    "dota",
    "dota_metric",
    "hooks",
    "horizontal_atss_head",
    "loading",
    "loss_modules",
    "nonfinite_loss",
    "official_atss_head",
    "optim_wrapper",
    "pipeline",
    "prior_generators",
    "r3det",
    "registry",
    "retina_head",
    "selection_assigner",
    "transforms",
    "tta",
]
