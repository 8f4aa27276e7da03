"""Warnings of the datasets, written to the log of the run."""

import logging

from mmengine.logging import print_log


def warn(message: str) -> None:
    """Write a warning to the log of the current run.

    Example::

        warn("dropped 2 objects without area")
    """
    print_log(message, logger="current", level=logging.WARNING)
