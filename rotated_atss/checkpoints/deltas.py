"""Weights of a box regression rewritten for other priors.

A rectangle can be written as (w, h, angle) and as (h, w, angle + pi/2). What one head predicts from its prior, another
can therefore predict from a prior a quarter turn away with the rows of its last convolution moved: w and h change
places, the centre's offsets turn with the prior where they are given in its axes, the angle's delta stays.

mmrotate 1.x gives its priors an angle that depends on the angle version, where 0.x (and the configs of this package,
except those with centerness) has 0: in ``oc`` -pi/2 for all, with w and h exchanged; in ``le90`` and ``le135`` 0 for a
prior wider than high, and -pi/2 or pi/2 for all others. That also covers its ``oc``, whose angle lies in [-pi/2, 0)
where this package's lies in (0, pi/2]: the deltas from the prior at -pi/2 are those of this package's ``oc`` from the
prior at 0, with w and h exchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rotated_atss.ops.boxes import HALF_PI


@dataclass(frozen=True)
class BoxEncoding:
    """How a head writes boxes.

    Attributes:
        priors: (w, h, angle) of each prior of a location, in any unit of length that all share.
        angle_version: ``oc``, ``le90`` or ``le135``.
        proj_xy: Centre offsets in the prior's axes.
        norm_factor: The angle's delta is divided by ``norm_factor * pi``; None leaves radians.
    """

    priors: tuple[tuple[float, float, float], ...]
    angle_version: str
    proj_xy: bool = False
    norm_factor: float | None = None

    @property
    def radians(self) -> float:
        """Radians of one unit of the angle's delta."""
        return self.norm_factor * math.pi if self.norm_factor else 1.0


def with_upright_priors(code: BoxEncoding) -> BoxEncoding:
    """The same priors at angle 0, as mmrotate 0.x has them."""
    return replace(code, priors=tuple((w, h, 0.0) for w, h, _ in code.priors))


def with_mmrotate_1x_priors(code: BoxEncoding) -> BoxEncoding:
    """Upright priors as mmrotate 1.x writes them in their angle version."""
    return replace(code, priors=tuple(_regular(w, h, code.angle_version) for w, h, _ in code.priors))


def _regular(w: float, h: float, angle_version: str) -> tuple[float, float, float]:
    if angle_version != "oc" and w > h:
        return w, h, 0.0
    return h, w, HALF_PI if angle_version == "le135" else -HALF_PI


def rewrite_regression(
    weight: Tensor, bias: Tensor, source: BoxEncoding, target: BoxEncoding, *, keep_sides: bool = False
) -> tuple[Tensor, Tensor]:
    """The last convolution of a box branch, so that ``target`` decodes the rectangles that ``source`` did.

    Args:
        weight: (priors * 5, C, k, k).
        bias: (priors * 5,).
        source: How the weights write boxes.
        target: How they shall.
        keep_sides: Leave w and h and move the angle by a constant instead: the boxes then have the very numbers of the
            source, which a stage that refines them needs.

    Returns:
        Both, in the dtype they came in. Exact within the decoder's bounds on dw and dh.
    """
    matrix, shift = _affine(source, target, keep_sides)
    rows = weight.double().reshape(len(matrix), 5, -1)
    new_weight = (torch.from_numpy(matrix) @ rows).reshape(weight.shape)
    new_bias = torch.from_numpy(matrix) @ bias.double().reshape(-1, 5, 1) + torch.from_numpy(shift)[..., None]
    return new_weight.to(weight.dtype), new_bias.flatten().to(bias.dtype)


def is_same(source: BoxEncoding, target: BoxEncoding, *, keep_sides: bool = False) -> bool:
    """Whether the weights can stay as they are."""
    matrix, shift = _affine(source, target, keep_sides)
    return np.allclose(matrix, np.eye(5)) and np.allclose(shift, 0)


def _affine(source: BoxEncoding, target: BoxEncoding, keep_sides: bool) -> tuple[np.ndarray, np.ndarray]:
    """(A, 5, 5) and (A, 5): target deltas = matrix @ source deltas + shift, prior by prior."""
    matrix, shift = np.zeros((len(source.priors), 5, 5)), np.zeros((len(source.priors), 5))
    for prior, ((ws, hs, from_angle), (wt, ht, to_angle)) in enumerate(zip(source.priors, target.priors)):
        turn = _rotation((from_angle if source.proj_xy else 0.0) - (to_angle if target.proj_xy else 0.0))
        matrix[prior, :2, :2] = np.diag([1 / wt, 1 / ht]) @ turn @ np.diag([ws, hs])
        swap = not keep_sides and round((from_angle - to_angle) / HALF_PI) % 2
        matrix[prior, 2:4, 2:4] = [[0, 1], [1, 0]] if swap else np.eye(2)
        width, height = (hs, ws) if swap else (ws, hs)
        shift[prior, 2:4] = math.log(width / wt), math.log(height / ht)
        matrix[prior, 4, 4] = source.radians / target.radians
        shift[prior, 4] = (from_angle - to_angle) / target.radians if keep_sides else 0.0
    return matrix, shift


def _rotation(angle: float) -> np.ndarray:
    """(2, 2), exact at quarter turns."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.where(np.abs(turn) < 1e-12, 0.0, turn)
