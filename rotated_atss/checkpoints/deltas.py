"""Convert the weights of box regression between box encodings.

(w, h, angle) and (h, w, angle + pi/2) are the same rectangle, so two projects can represent the same prior by different
numbers. A head that was trained with one representation of its priors predicts the same rectangles with the other one
if the rows of its last convolution are rearranged: the deltas of w and h are swapped, the center offsets are rotated if
they are relative to the axes of the prior, and the angle delta is unchanged.

Priors of mmrotate 0.x and of most configs of this package have angle 0. This package's configs with centerness have the
priors of mmrotate 1.x, which depend on the angle version. In ``oc``, the angle is -pi/2, with w and h swapped. In
``le90`` and ``le135``, the angle is 0 if the prior is wider than high, otherwise -pi/2 (``le90``) or pi/2 (``le135``),
with w and h swapped.

The same rearrangement covers the different ranges of ``oc`` angles: [-pi/2, 0) in mmrotate 1.x and (0, pi/2] in this
package. The angle of a box in this package is larger by pi/2, with w and h swapped. So its angle delta relative to a
prior at -pi/2 in mmrotate 1.x equals that relative to the same prior at 0 in this package, and its deltas of w and h
are swapped.
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
    """Box encoding of a head.

    Attributes:
        priors: (w, h, angle) of each prior of a location; w and h in any common unit, angle in radians.
        angle_version: ``oc``, ``le90`` or ``le135``.
        proj_xy: Whether center offsets are relative to the axes of the prior.
        norm_factor: The unit of the angle delta is ``norm_factor * pi`` radians; None for radians.

    Example:
        >>> BoxEncoding(((32.0, 32.0, 0.0),), "oc", norm_factor=1).angle_unit
        3.141592653589793
    """

    priors: tuple[tuple[float, float, float], ...]
    angle_version: str
    proj_xy: bool = False
    norm_factor: float | None = None

    @property
    def angle_unit(self) -> float:
        """Unit of the angle delta, in radians."""
        return self.norm_factor * math.pi if self.norm_factor else 1.0


def with_upright_priors(encoding: BoxEncoding) -> BoxEncoding:
    """Set the angle of all priors to 0, as in mmrotate 0.x. Keep w and h, so the rectangles can change.

    Example:
        >>> with_upright_priors(BoxEncoding(((32.0, 16.0, 1.5),), "oc")).priors
        ((32.0, 16.0, 0.0),)
    """
    return replace(encoding, priors=tuple((w, h, 0.0) for w, h, _ in encoding.priors))


def with_mmrotate_1x_priors(encoding: BoxEncoding) -> BoxEncoding:
    """Convert upright priors to the representation of mmrotate 1.x for their angle version.

    Example:
        >>> with_mmrotate_1x_priors(BoxEncoding(((32.0, 16.0, 0.0), (16.0, 32.0, 0.0)), "le90")).priors
        ((32.0, 16.0, 0.0), (32.0, 16.0, -1.5707963267948966))
    """
    priors = (_mmrotate_1x_prior(w, h, encoding.angle_version) for w, h, _ in encoding.priors)
    return replace(encoding, priors=tuple(priors))


def rewrite_regression(
    weight: Tensor, bias: Tensor, source: BoxEncoding, target: BoxEncoding, *, keep_sides: bool = False
) -> tuple[Tensor, Tensor]:
    """Rewrite the last convolution of a box branch so that ``target`` decodes the same rectangles as ``source``.

    Args:
        weight: (A * 5, C, k, k) for A priors per location.
        bias: (A * 5,).
        source: Box encoding of the weights.
        target: Box encoding of the result.
        keep_sides: Add a constant to the angle delta instead of swapping w and h. The decoded boxes then have the same
            five numbers, as a refinement stage needs, not just the same corners.

    Returns:
        Weight and bias, in the dtypes of the arguments. Decoded boxes are the same as long as the decoder does not clip
        dw and dh.

    Example:
        >>> source, target = (BoxEncoding(((16.0, 16.0, angle),), "oc") for angle in (-HALF_PI, 0.0))
        >>> weight, bias = torch.zeros(5, 1, 1, 1), torch.arange(5.0)
        >>> rewrite_regression(weight, bias, source, target)[1].tolist()
        [0.0, 1.0, 3.0, 2.0, 4.0]
    """
    matrix, shift = _delta_transform(source, target, keep_sides)
    rows = weight.double().reshape(len(matrix), 5, -1)  # (A, 5, C * k * k), one row per delta
    new_weight = (torch.from_numpy(matrix) @ rows).reshape(weight.shape)
    new_bias = torch.from_numpy(matrix) @ bias.double().reshape(-1, 5, 1) + torch.from_numpy(shift)[..., None]
    return new_weight.to(weight.dtype), new_bias.flatten().to(bias.dtype)


def is_equivalent(source: BoxEncoding, target: BoxEncoding, *, keep_sides: bool = False) -> bool:
    """Return whether two encodings decode the same boxes, so that :func:`rewrite_regression` changes no weight.

    Boxes are the same if they are the same rectangle; with ``keep_sides``, only if their five numbers are equal.

    Example:
        >>> upright, rotated = (BoxEncoding(((16.0, 16.0, angle),), "oc") for angle in (0.0, HALF_PI))
        >>> is_equivalent(upright, upright), is_equivalent(upright, rotated)
        (True, False)
    """
    matrix, shift = _delta_transform(source, target, keep_sides)
    return np.allclose(matrix, np.eye(5)) and np.allclose(shift, 0)


def _delta_transform(source: BoxEncoding, target: BoxEncoding, keep_sides: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return matrix (A, 5, 5) and shift (A, 5) with target deltas = matrix @ source deltas + shift."""
    matrix, shift = np.zeros((len(source.priors), 5, 5)), np.zeros((len(source.priors), 5))
    for index, (source_prior, target_prior) in enumerate(zip(source.priors, target.priors)):
        source_w, source_h, source_angle = source_prior
        target_w, target_h, target_angle = target_prior
        # dx, dy: offsets in units of the prior's w and h, along the axes of the prior (proj_xy) or of the image
        rotation = _rotation((source_angle if source.proj_xy else 0.0) - (target_angle if target.proj_xy else 0.0))
        matrix[index, :2, :2] = np.diag([1 / target_w, 1 / target_h]) @ rotation @ np.diag([source_w, source_h])
        # dw, dh: logarithms of ratios to the prior's w and h. The angles of the priors differ by a multiple of pi/2; at
        # an odd multiple, w of one is parallel to h of the other.
        is_swapped = not keep_sides and round((source_angle - target_angle) / HALF_PI) % 2 == 1
        matrix[index, 2:4, 2:4] = [[0, 1], [1, 0]] if is_swapped else np.eye(2)
        width, height = (source_h, source_w) if is_swapped else (source_w, source_h)
        # not 0 if the priors are different rectangles
        shift[index, 2:4] = math.log(width / target_w), math.log(height / target_h)
        # dangle: the unit can differ. The angle between the priors is added only with keep_sides, because the swap of w
        # and h replaces it otherwise.
        matrix[index, 4, 4] = source.angle_unit / target.angle_unit
        shift[index, 4] = (source_angle - target_angle) / target.angle_unit if keep_sides else 0.0
    return matrix, shift


def _rotation(angle: float) -> np.ndarray:
    """Return the (2, 2) rotation matrix, exact at multiples of 90 degrees."""
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.where(np.abs(matrix) < 1e-12, 0.0, matrix)


def _mmrotate_1x_prior(w: float, h: float, angle_version: str) -> tuple[float, float, float]:
    """Return (w, h, angle) of an upright prior as mmrotate 1.x represents it (see the module docstring)."""
    if angle_version != "oc" and w > h:
        return w, h, 0.0
    return h, w, HALF_PI if angle_version == "le135" else -HALF_PI
