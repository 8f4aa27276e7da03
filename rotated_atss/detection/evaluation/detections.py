"""Detections of an image as a metric receives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNREADABLE = "is_unreadable"  # metadata key; True for an image that could not be read


def detections_of(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detections of an image; an image that could not be read has none.

    Args:
        sample: Metadata of the image, and ``pred_instances`` with ``bboxes``, ``scores`` and ``labels``.

    Example:
        >>> import torch
        >>> sample = dict(pred_instances=dict(scores=torch.tensor([0.5])), is_unreadable=True)
        >>> detections_of(sample)["scores"].shape
        torch.Size([0])
    """
    kept = slice(0) if sample.get(UNREADABLE) else slice(None)
    return {name: sample["pred_instances"][name][kept] for name in sample["pred_instances"].keys()}  # noqa: SIM118
