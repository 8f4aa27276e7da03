"""Convert the weights of box regression between box encodings.

(w, h, angle) and (h, w, angle + pi/2) are the same rectangle, so two projects can represent the same prior by different
numbers. A head that was trained with one representation of its priors can be used with the other representation. It
then predicts the same rectangles if the rows of its last convolution, one per delta, are rearranged:

- The deltas of w and h are swapped.
- The center offsets are rotated if they are relative to the axes of the prior.
- The angle delta is unchanged.

In mmrotate 0.x and in most configs of this package, priors have angle 0. This package's configs with centerness have
the priors of mmrotate 1.x, which depend on the angle version:

- ``oc``: the angle is -pi/2, and w and h are swapped.
- ``le90`` and ``le135``: if the prior is wider than high, the angle is 0. Otherwise, the angle is -pi/2 (``le90``) or
  pi/2 (``le135``), and w and h are swapped.

The same rearrangement also covers the different ranges of ``oc`` angles, which are [-pi/2, 0) in mmrotate 1.x and
(0, pi/2] in this package. For the same rectangle, the angle in this package is larger by pi/2, and w and h are swapped.
If a prior has angle -pi/2 in mmrotate 1.x and angle 0 in this package, its angle is larger by pi/2 too. The angle delta
is then the same in both projects, and the deltas of w and h are swapped.
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
    """The priors of a head, and the settings by which it encodes boxes as deltas.

    Attributes:
        priors: (w, h, angle) of each prior at a location. The angle is in radians. The unit of w and h can be any, but
            must be the same in the source and the target.
        angle_version: ``oc``, ``le90`` or ``le135``.
        proj_xy: Whether center offsets are relative to the axes of the prior instead of the axes of the image.
        norm_factor: The unit of the angle delta is ``norm_factor * pi`` radians. None if it is one radian.

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
    """Set the angle of all priors to 0, as in mmrotate 0.x.

    w and h are kept, so the priors can become other rectangles.

    Example:
        >>> with_upright_priors(BoxEncoding(((32.0, 16.0, 1.5),), "oc")).priors
        ((32.0, 16.0, 0.0),)
    """
    return replace(encoding, priors=tuple((w, h, 0.0) for w, h, _ in encoding.priors))


def with_mmrotate_1x_priors(encoding: BoxEncoding) -> BoxEncoding:
    """Convert upright priors to the representation that mmrotate 1.x uses for the angle version of the encoding.

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
        keep_sides: Add a constant to the angle delta instead of swapping w and h. The decoded boxes then have not only
            the same corners but also the same five numbers, which a refinement stage needs.

    Returns:
        Weight and bias, in the dtypes of the arguments. The decoded boxes are the same unless the decoder clips dw or
        dh.

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
    """Return whether two encodings decode the same deltas to the same boxes.

    :func:`rewrite_regression` then changes no weight. Two boxes are the same if they are the same rectangle. With
    ``keep_sides``, their five numbers must also be equal.

    Example:
        >>> upright, rotated = (BoxEncoding(((16.0, 16.0, angle),), "oc") for angle in (0.0, HALF_PI))
        >>> is_equivalent(upright, upright), is_equivalent(upright, rotated)
        (True, False)
    """
    matrix, shift = _delta_transform(source, target, keep_sides)
    return np.allclose(matrix, np.eye(5)) and np.allclose(shift, 0)


def _delta_transform(source: BoxEncoding, target: BoxEncoding, keep_sides: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix (A, 5, 5) and the shift (A, 5) that convert source deltas to target deltas.

    The conversion is ``target_deltas = matrix @ source_deltas + shift``.
    """
    matrix, shift = np.zeros((len(source.priors), 5, 5)), np.zeros((len(source.priors), 5))
    for index, (source_prior, target_prior) in enumerate(zip(source.priors, target.priors)):
        source_w, source_h, source_angle = source_prior
        target_w, target_h, target_angle = target_prior
        # dx and dy are offsets in units of the prior's w and h. Their axes are the axes of the prior if proj_xy is set,
        # otherwise the axes of the image.
        source_axes_angle = source_angle if source.proj_xy else 0.0
        target_axes_angle = target_angle if target.proj_xy else 0.0
        rotation = _rotation(source_axes_angle - target_axes_angle)
        matrix[index, :2, :2] = np.diag([1 / target_w, 1 / target_h]) @ rotation @ np.diag([source_w, source_h])
        # dw and dh are the logarithms of the box's w and h divided by the prior's. The angles of the source prior and
        # the target prior differ by a multiple of pi/2. If the multiple is odd, w of one prior is parallel to h of the
        # other.
        is_swapped = not keep_sides and round((source_angle - target_angle) / HALF_PI) % 2 == 1
        matrix[index, 2:4, 2:4] = [[0, 1], [1, 0]] if is_swapped else np.eye(2)
        width, height = (source_h, source_w) if is_swapped else (source_w, source_h)
        # This shift is 0 if the two priors are the same rectangle.
        shift[index, 2:4] = math.log(width / target_w), math.log(height / target_h)
        # The unit of dangle can differ between the encodings. The angle between the priors is added only with
        # keep_sides, because otherwise the swap of w and h takes its place.
        matrix[index, 4, 4] = source.angle_unit / target.angle_unit
        shift[index, 4] = (source_angle - target_angle) / target.angle_unit if keep_sides else 0.0
    return matrix, shift


def _rotation(angle: float) -> np.ndarray:
    """Return the (2, 2) rotation matrix for an angle in radians.

    Elements that are 0 except for rounding errors, as at multiples of pi/2, are set to 0.
    """
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.where(np.abs(matrix) < 1e-12, 0.0, matrix)


def _mmrotate_1x_prior(w: float, h: float, angle_version: str) -> tuple[float, float, float]:
    """Return (w, h, angle) of an upright prior as mmrotate 1.x represents it (see the module docstring)."""
    if angle_version != "oc" and w > h:
        return w, h, 0.0
    return h, w, HALF_PI if angle_version == "le135" else -HALF_PI
