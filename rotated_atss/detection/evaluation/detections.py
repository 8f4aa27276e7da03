"""Read the detections of an image from a sample that MMEngine passes to a metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNREADABLE = "is_unreadable"  # key in the metadata of an image; the value is True if the image could not be read


def detections_of(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detections of an image, or no rows if the image could not be read.

    A black image takes the place of an unreadable image, so what the model detects on it is dropped.

    Args:
        sample: The metadata of the image, and ``pred_instances`` with ``bboxes``, ``scores`` and ``labels``.

    Returns:
        The values of ``pred_instances`` by name; arrays of length 0 if the image could not be read.

    Example:
        >>> import torch
        >>> sample = dict(pred_instances=dict(scores=torch.tensor([0.5])), is_unreadable=True)
        >>> detections_of(sample)["scores"].shape
        torch.Size([0])
    """
    rows = slice(0) if sample.get(UNREADABLE) else slice(None)
    instances = sample["pred_instances"]
    return {name: instances[name][rows] for name in instances.keys()}  # noqa: SIM118 (InstanceData iterates over rows)
