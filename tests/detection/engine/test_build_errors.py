"""Errors raised in loader processes."""

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("quick")


def test_error_of_a_loader_process_is_one_line(run, tiles, tmp_path, fault):
    shutil.copytree(tiles, tmp_path / "tiles")
    broken = sorted((tmp_path / "tiles" / "images").iterdir())
    for path in broken:
        path.write_bytes(path.read_bytes()[:200])
    for workers in (0, 1):
        changes = {
            "train_dataloader.dataset.data_root": str(tmp_path / "tiles"),
            "train_dataloader.num_workers": workers,
        }
        error = fault(run, changes)
        assert error.endswith(".png: the image is truncated (split again or remove the tile)")
        assert Path(error.split(": ")[0]) in broken
