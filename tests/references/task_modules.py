"""Priors and boxes for the tests of MMDetection's task modules."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rotated_atss.detection.task_modules.prior_generators import OrientedAnchorGenerator

FEATMAP_SIZES = [(16, 16), (8, 8), (4, 4)]  # of a 128-pixel image


def generate_priors(**kwargs: Any) -> tuple[Tensor, list[int]]:
    """Return the priors of three levels, level after level, and the number of priors per level."""
    settings = dict(octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=[8, 16, 32])
    levels = OrientedAnchorGenerator(**{**settings, **kwargs}).grid_priors(FEATMAP_SIZES, device="cpu")
    return torch.cat(levels), [len(level) for level in levels]


def long_boxes(number: int = 12, seed: int = 0) -> Tensor:
    """Return (number, 5) long thin boxes, most of them rotated."""
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    return unit * torch.tensor([108, 108, 50, 8, math.pi]) + torch.tensor([10, 10, 30, 6, -1.5])
