"""The MMDetection skin: importing this registers everything that the configs name. The work is done by the plain
modules."""

from . import dataset, head, losses, metric, structures, task_modules, training

__all__ = ["dataset", "head", "losses", "metric", "structures", "task_modules", "training"]
