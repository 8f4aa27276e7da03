"""Images and labels for the benchmarks of splitting, and comparison of the tiles that result."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import cv2
import numpy as np

from benchmarks.records import ROOT
from rotated_atss.synthetic import generate_scenes


def find_data(given: str, folder: Path) -> tuple[Path, str]:
    """Return a folder with ``images`` and ``labelTxt``, and its name.

    It is ``given``, else dota_sample in $ROTATED_ATSS_DATA or in ../shared/data, else synthetic scenes rendered into
    ``folder``, as many as the sample has images and as large on average.
    """
    sample = Path(os.environ.get("ROTATED_ATSS_DATA") or ROOT.parent / "shared" / "data") / "dota_sample"
    if given:
        return Path(given).resolve(), Path(given).name
    if sample.is_dir():
        return sample.resolve(), "dota_sample"
    generate_scenes(folder / "scenes", 8, size_wh=(1340, 1340), progress=False)
    return folder / "scenes", "synthetic scenes"


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
