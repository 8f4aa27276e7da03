"""Images and labels for the benchmarks of splitting, and comparison of the tiles that result."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import cv2
import numpy as np

from benchmarks.records import ROOT

# (width, height) in pixels and number of objects of the eight sample images
SHAPES = [(824, 1464, 107), (884, 977, 130), (1367, 1526, 100), (2304, 1792, 36), (1111, 1182, 536), (1610, 1358, 20),
          (1599, 1903, 20), (712, 557, 64)]  # fmt: skip


def find_data(given: str, folder: Path) -> tuple[Path, str]:
    """Return a folder with ``images`` and ``labelTxt``, and its name.

    It is ``given``, else dota_sample in $ROTATED_ATSS_DATA or in ../shared/data, else synthetic images made in
    ``folder``.
    """
    sample = Path(os.environ.get("ROTATED_ATSS_DATA") or ROOT.parent / "shared" / "data") / "dota_sample"
    if given:
        return Path(given).resolve(), Path(given).name
    if sample.is_dir():
        return sample.resolve(), "dota_sample"
    return synthesize(folder / "synthetic"), "synthetic images"


def synthesize(folder: Path, seed: int = 0) -> Path:
    """Write images that compress about as aerial images do, with objects, in the sizes of the sample."""
    rng = np.random.default_rng(seed)
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    for number, (width, height, num_gt) in enumerate(SHAPES):
        coarse = rng.uniform(40, 200, (height // 24, width // 24, 3)).astype(np.float32)
        noise = rng.normal(0, 4, (height, width, 3))
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + noise
        cv2.imwrite(str(folder / "images" / f"P{number:04d}.png"), image.clip(0, 255).astype(np.uint8))
        corners = rng.uniform(0, (width, height), (num_gt, 1, 2)) + np.array([[-20, -8], [20, -8], [20, 8], [-20, 8]])
        lines = [f"{' '.join(map(str, polygon))} ship 0\n" for polygon in np.round(corners).reshape(-1, 8).tolist()]
        (folder / "labelTxt" / f"P{number:04d}.txt").write_text("".join(lines))
    return folder


def repeat(data: Path, images: int, folder: Path) -> Path:
    """Fill a folder with ``images`` links to the images of ``data`` and to their labels."""
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    for number, image in zip(range(images), itertools.cycle(sorted((data / "images").iterdir()))):
        stem = f"{image.stem}_{number:03d}"
        (folder / "images" / f"{stem}{image.suffix}").symlink_to(image.resolve())
        (folder / "labelTxt" / f"{stem}.txt").symlink_to((data / "labelTxt" / f"{image.stem}.txt").resolve())
    return folder


def same_pixels(path: Path, other: Path) -> bool:
    """Whether both image files exist with equal pixels."""
    return other.exists() and np.array_equal(cv2.imread(str(path)), cv2.imread(str(other)))


def megabytes(folder: Path) -> float:
    """Return the total size of the files of a folder in megabytes (1e6 bytes)."""
    return round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6, 1)
