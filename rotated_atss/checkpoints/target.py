"""The model of a config, as the target of a conversion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rotated_atss.checkpoints.deltas import BoxEncoding


@dataclass(frozen=True)
class Target:
    """The model of a config for which weights of another project are converted.

    Attributes:
        config: Name of the config.
        shapes: Shape of each parameter and buffer by name.
        head: Name of the first head: ``bbox_head``, or ``bbox_head_init`` if further stages refine its boxes.
        box_encoding: Box encoding of that head; None for horizontal boxes.
        anchors: Settings of the prior generator of that head in the config (``scales_per_octave``, ``ratios``, ...).
        classes: Class names; empty if unknown.
    """

    config: str
    shapes: dict[str, tuple[int, ...]]
    head: str = "bbox_head"
    box_encoding: BoxEncoding | None = None
    anchors: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
