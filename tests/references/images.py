"""Images that compress and detect like photographs."""

from __future__ import annotations

import cv2
import numpy as np


def smooth_noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a random (height, width, 3) image, uint8, that is smooth over four pixels."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return cv2.resize(small, None, fx=4, fy=4)[:height, :width].copy()
