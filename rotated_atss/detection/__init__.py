"""The MMDetection skin: importing this registers everything that the configs name. The work is done by the plain
modules."""

from mmengine.config.utils import MODULE2PACKAGE

from . import dataset, head, losses, metric, structures, task_modules, training

# so that configs elsewhere can inherit ours as ``rotated_atss::dota/...``
MODULE2PACKAGE["rotated_atss"] = "rotated_atss"

__all__ = ["dataset", "head", "losses", "metric", "structures", "task_modules", "training"]
