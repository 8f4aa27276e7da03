"""Slow reference of box deltas (Ding et al., arXiv 1812.00155) for le90 with projected center and edge swap.

One prior and one box at a time, written out from the definition. Boxes are ``cx, cy, w, h, angle``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def encode_le90(prior: Sequence[float], box: Sequence[float]) -> list[float]:
    """Encode a box; of its two descriptions (w, h, angle) and (h, w, angle + 90 degrees) the one nearer in angle."""
    px, py, pw, ph, p_angle = prior
    gx, gy, gw, gh, g_angle = box
    offset_x, offset_y = gx - px, gy - py
    along = offset_x * math.cos(p_angle) + offset_y * math.sin(p_angle)
    across = offset_y * math.cos(p_angle) - offset_x * math.sin(p_angle)
    descriptions = [(gw, gh, g_angle - p_angle), (gh, gw, g_angle - p_angle + math.pi / 2)]
    w, h, d_angle = min(descriptions, key=lambda description: abs(wrap_to_half_turn(description[2])))
    return [along / pw, across / ph, math.log(w / pw), math.log(h / ph), wrap_to_half_turn(d_angle)]


def decode_le90(prior: Sequence[float], delta: Tensor) -> Tensor:
    """Decode deltas (5,) to a box (5,) with w >= h and the angle in [-90, 90) degrees; differentiable."""
    px, py, pw, ph, p_angle = prior
    along, across = delta[0] * pw, delta[1] * ph
    cx = px + along * math.cos(p_angle) - across * math.sin(p_angle)
    cy = py + along * math.sin(p_angle) + across * math.cos(p_angle)
    w, h, angle = pw * delta[2].exp(), ph * delta[3].exp(), p_angle + delta[4]
    if w < h:
        w, h, angle = h, w, angle + math.pi / 2
    return torch.stack((cx, cy, w, h, angle + wrap_to_half_turn(angle.item()) - angle.item()))


def wrap_to_half_turn(angle: float) -> float:
    """Wrap an angle into [-90, 90) degrees."""
    while angle >= math.pi / 2:
        angle -= math.pi
    while angle < -math.pi / 2:
        angle += math.pi
    return angle
