"""A small DOTA dataset for the tests of check-data, to which a test adds problems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

SHIP = "10 20 60 20 60 40 10 40 ship 0"
SIZE = (120, 100)  # width, height


def write_image(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write an image of noise; its format is that of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)


def write_labels(folder: Path, name: str, *lines: str) -> Path:
    """Write a label file of DOTA text."""
    path = folder / "labelTxt" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def add_image(tmp_path: Path) -> Callable[..., Path]:
    """``add_image("train/P1.png", *lines)`` writes ``train/images/P1.png`` and its labels."""

    def add(name: str, *lines: str, seed: int | None = None) -> Path:
        part, _, file_name = name.rpartition("/")
        image = tmp_path / part / "images" / file_name
        write_image(image, sum(name.encode()) if seed is None else seed)
        write_labels(tmp_path / part, image.stem, *lines)
        return image

    return add
