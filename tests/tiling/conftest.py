"""DOTA folders to split, and splitting them into small tiles."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.tiling.split import split_dota

ORDINARY = "10 10 60 10 60 40 10 40 ship 0"


def _write_image(path, width, height, **kind):
    rng = np.random.default_rng(width + height)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = rng.integers(0, kind.get("top", 256), (height, width, kind.get("channels", 3)))
    cv2.imwrite(str(path), image.astype(kind.get("dtype", np.uint8)))


@pytest.fixture
def write_image():
    """``write_image(path, width, height, ...)``: noise."""
    return _write_image


@pytest.fixture
def make_folder():
    """DOTA folders: ``images`` name -> (width, height), ``labels`` name -> lines. Returns the two folders."""

    def make(folder, images, labels=None):
        for name, shape in images.items():
            _write_image(folder / "images" / name, *shape)
            lines = (labels or {}).get(name, [ORDINARY])
            (folder / "labelTxt").mkdir(exist_ok=True)
            (folder / "labelTxt" / f"{Path(name).stem}.txt").write_text("".join(f"{line}\n" for line in lines))
        return folder / "images", folder / "labelTxt"

    return make


@pytest.fixture
def split():
    """``split_dota`` with one worker, into tiles of 128 pixels that overlap by 32."""
    return lambda images, labels, out, **options: split_dota(
        images, labels, out, **{"workers": 1, "size": 128, "gap": 32, **options}
    )


@pytest.fixture
def tree():
    """Every file below a folder: name -> content."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
