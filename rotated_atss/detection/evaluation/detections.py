"""Detections of an image as a metric receives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNREADABLE = "is_unreadable"  # metadata key; its value is True if the image could not be read


def detections_of(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detections of an image; an image that could not be read has none.

    Args:
        sample: Metadata of the image, and ``pred_instances`` with ``bboxes``, ``scores`` and ``labels``.

    Returns:
        The entries of ``pred_instances``.

    Example:
        >>> import torch
        >>> sample = dict(pred_instances=dict(scores=torch.tensor([0.5])), is_unreadable=True)
        >>> detections_of(sample)["scores"].shape
        torch.Size([0])
    """
    rows = slice(0) if sample.get(UNREADABLE) else slice(None)
    instances = sample["pred_instances"]
    return {name: instances[name][rows] for name in instances.keys()}  # noqa: SIM118 (InstanceData iterates over rows)
