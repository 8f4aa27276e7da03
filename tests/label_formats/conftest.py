"""Fixtures of the tests of label formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def write_noise() -> Callable[[Path, int, int], None]:
    """``write_noise(path, width, height)`` writes an image of noise."""

    def write(path: Path, width: int, height: int) -> None:
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(width + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(path), noise)

    return write
