"""Fixtures that write small DOTA folders and split them."""

import importlib.util
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings
from tests.tiling.dota_folder import ORDINARY


def _write_image(path, width, height, **kind):
    rng = np.random.default_rng(width + height)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = rng.integers(0, kind.get("top", 256), (height, width, kind.get("channels", 3)))
    cv2.imwrite(str(path), image.astype(kind.get("dtype", np.uint8)))


@pytest.fixture
def write_image():
    """``write_image(path, width, height, ...)`` writes an image of noise."""
    return _write_image


@pytest.fixture
def make_folder():
    """Write a DOTA folder; ``images`` maps names to (width, height), ``labels`` names to lines. Return both folders."""

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
    """``split_dota`` with one worker, windows of 128 pixels and a gap of 32; options of ``SplitSettings`` by name."""

    def call(images, labels, out, *, workers=1, **options):
        names = {each.name for each in fields(SplitSettings)} & set(options)
        settings = SplitSettings(**{"sizes": [128], "gaps": [32], **{name: options.pop(name) for name in names}})
        return split_dota(images, labels, out, settings, workers=workers, **options)

    return call


@pytest.fixture
def tree():
    """``tree(folder)`` maps every file below a folder to its content."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="session")
def img_split() -> Path:
    """The splitting script of mmrotate."""
    found = importlib.util.find_spec("mmrotate")
    path = found and Path(str(found.origin)).parent / ".mim/tools/data/dota/split/img_split.py"
    if not path or not path.exists():
        pytest.skip("mmrotate's img_split.py is not installed")
    return path
