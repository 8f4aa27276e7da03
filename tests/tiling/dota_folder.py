"""Content of the DOTA folders that the tests of splitting write and read."""

from __future__ import annotations

from pathlib import Path

from rotated_atss.dota.labels import Labels, read_labels

ORDINARY = "10 10 60 10 60 40 10 40 ship 0"  # the only object of an image, unless a test gives others


def tile_labels(out: Path, name: str) -> Labels:
    """Read the labels of one tile."""
    return read_labels(out / "labelTxt" / f"{name}.txt")
