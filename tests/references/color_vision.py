"""Simulated color vision deficiency and CIE Lab distances.

Matrices for complete deficiency, which apply to linear RGB: Machado, Oliveira and Fernandes, "A Physiologically-based
Model for Simulation of Color Vision Deficiency", IEEE Transactions on Visualization and Computer Graphics 15 (6), 2009,
severity 1.0. Conversion of sRGB to XYZ: IEC 61966-2-1; CIE Lab: CIE 15, white point D65.
"""

from __future__ import annotations

import numpy as np

DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ]),
    "tritanopia": np.array([
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
    ]),
}  # fmt: skip
_RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def simulated_lab(colors: object, deficiency: str) -> np.ndarray:
    """Return the CIE Lab values (N, 3) of sRGB colors (N, 3), 0 to 255, as somebody with a deficiency sees them."""
    values = np.asarray(colors, np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ DEFICIENCIES[deficiency].T, 0, 1)
    ratio = (seen @ _RGB_TO_XYZ.T) / _RGB_TO_XYZ.sum(1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def smallest_distance(colors: object, deficiency: str) -> float:
    """Return the smallest CIE Lab distance (1976) between two of the colors."""
    lab = simulated_lab(colors, deficiency)
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return float(distance[np.triu_indices(len(lab), 1)].min())
