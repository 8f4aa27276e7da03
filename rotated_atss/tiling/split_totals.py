"""Counts over all images and tiles of a split."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SplitTotals:
    """Counts over all images and tiles of a split.

    Attributes:
        images: Images that were split.
        tiles: Tiles that were written.
        empty_tiles: Tiles without objects.
        objects_in_images: Objects in the labels of the images.
        objects_in_tiles: Objects in the labels of the tiles; an object in two tiles counts twice.
        truncated: Objects in tiles that exceed their tile.
        without_area: Objects that were left out because they have no area.
        in_no_tile: Objects with an area that belong to no tile.
    """

    images: int
    tiles: int
    empty_tiles: int
    objects_in_images: int
    objects_in_tiles: int
    truncated: int
    without_area: int
    in_no_tile: int
