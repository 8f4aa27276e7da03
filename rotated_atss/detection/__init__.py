"""Register this package's heads, losses, assigners, datasets and metrics with MMDetection.

Importing this package is enough for a config to name them (``custom_imports`` of the base configs does so). The
classes are adapters; the computation is in the framework-free subpackages.
"""

import contextlib
import io

from mmengine.config.utils import MODULE2PACKAGE

with contextlib.redirect_stdout(io.StringIO()):  # MMDetection prints that an optional package of its own is absent
    import mmdet.datasets  # noqa: F401

from rotated_atss.detection.datasets import box_type, coco, dota, transforms
from rotated_atss.detection.engine import hooks, tta
from rotated_atss.detection.evaluation import dota_metric
from rotated_atss.detection.heads import (
    atss_head,
    horizontal_atss_head,
    loss_modules,
    official_atss_head,
    r3det,
    retina_head,
)
from rotated_atss.detection.task_modules import assigners, box_coders, prior_generators, selection_assigner

# Configs elsewhere inherit the configs of this package as ``rotated_atss::dota/...``.
MODULE2PACKAGE["rotated_atss"] = "rotated_atss"

__all__ = [
    "assigners",
    "atss_head",
    "box_coders",
    "box_type",
    "coco",
    "dota",
    "dota_metric",
    "hooks",
    "horizontal_atss_head",
    "loss_modules",
    "official_atss_head",
    "prior_generators",
    "r3det",
    "retina_head",
    "selection_assigner",
    "transforms",
    "tta",
]
