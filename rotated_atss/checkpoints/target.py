"""The model of a config, as the target of a conversion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rotated_atss.checkpoints.deltas import BoxEncoding


@dataclass(frozen=True)
class Target:
    """A model of this package, described by a config, into which weights of another project are converted.

    Attributes:
        config: Name of the config.
        shapes: Shape of each parameter and buffer by name.
        head: Name of the first head: ``bbox_head``, or ``bbox_head_init`` if further stages refine its boxes.
        box_encoding: Box encoding of that head; None for horizontal boxes.
        anchor_settings: The config's settings of that head's prior generator (``scales_per_octave``, ``ratios``, ...).
        classes: Class names; empty if unknown.
    """

    config: str
    shapes: dict[str, tuple[int, ...]]
    head: str = "bbox_head"
    box_encoding: BoxEncoding | None = None
    anchor_settings: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
