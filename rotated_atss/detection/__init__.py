"""The MMDetection skin: importing this registers everything that the configs name. The work is done by the plain
modules."""

import contextlib
import io

from mmengine.config.utils import MODULE2PACKAGE

with contextlib.redirect_stdout(io.StringIO()):  # MMDetection prints that an optional package of its own is absent
    import mmdet.datasets  # noqa: F401

from . import (
    assigners,
    atss_head,
    coco,
    dataset,
    head,
    horizontal,
    losses,
    metric,
    official,
    point_coder,
    r3det,
    structures,
    task_modules,
    training,
    transforms,
    tta,
)

# so that configs elsewhere can inherit ours as ``rotated_atss::dota/...``
MODULE2PACKAGE["rotated_atss"] = "rotated_atss"

__all__ = [
    "assigners",
    "atss_head",
    "coco",
    "dataset",
    "head",
    "horizontal",
    "losses",
    "metric",
    "official",
    "point_coder",
    "r3det",
    "structures",
    "task_modules",
    "training",
    "transforms",
    "tta",
]
