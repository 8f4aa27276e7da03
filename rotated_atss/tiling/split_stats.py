"""Count the images, tiles and objects of a split, per image and in total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Tile:
    """A written tile.

    Attributes:
        name: Name of the tile, without suffix.
        objects: Number of objects in the tile.
        truncated: Number of these objects that extend beyond the tile.
    """

    name: str
    objects: int
    truncated: int


@dataclass(frozen=True)
class SplitStats:
    """Statistics of splitting one image, or one part of an image.

    Attributes:
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        objects: Number of objects in the labels of the image, including zero-area objects.
        without_area: Line number in the label file of each zero-area object; 0 if the label format has no lines.
        in_no_tile: Indices (not line numbers) of the objects that have an area and belong to none of ``tiles``.
        tiles: The written tiles.
        tiles_per_object: Number of tiles to which each object belongs, in the order of the labels.
        suffix: Suffix of the written image files.
        ground_resolution: Meters per pixel of the image; None if unknown.
    """

    width: int
    height: int
    objects: int
    without_area: tuple[int, ...]
    in_no_tile: tuple[int, ...]
    tiles: tuple[Tile, ...]
    tiles_per_object: tuple[int, ...] = ()
    suffix: str = ".png"
    ground_resolution: float | None = None


@dataclass(frozen=True)
class SplitTotals:
    """Counts over all images and tiles of a split.

    Attributes:
        images: Images that were split.
        tiles: Tiles that were written.
        empty_tiles: Tiles without objects.
        objects_in_images: Objects in the labels of the images.
        objects_in_tiles: Objects in the labels of the tiles; an object in two tiles counts twice.
        truncated: Of the objects in tiles, those that extend beyond the tile.
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


def merge_stats(parts: Sequence[SplitStats]) -> SplitStats:
    """Merge the statistics of all parts of an image into statistics of the whole image.

    Args:
        parts: Statistics of all parts of one image.

    Example:
        >>> image = {"width": 64, "height": 128, "objects": 2, "without_area": ()}
        >>> upper_tile = Tile("P1__64__0___0", objects=1, truncated=0)
        >>> lower_tile = Tile("P1__64__0___64", objects=1, truncated=0)
        >>> upper = SplitStats(**image, in_no_tile=(1,), tiles=(upper_tile,), tiles_per_object=(1, 0))
        >>> lower = SplitStats(**image, in_no_tile=(0,), tiles=(lower_tile,), tiles_per_object=(0, 1))
        >>> merge_stats([upper, lower]).in_no_tile
        ()
    """
    tiles = tuple(tile for part in parts for tile in part.tiles)
    tiles_per_object = tuple(map(sum, zip(*(part.tiles_per_object for part in parts))))
    # an object without a tile in one part can have one in another part
    in_no_tile = tuple(sorted(set.intersection(*(set(part.in_no_tile) for part in parts))))
    # all other fields describe the whole image and are equal in all parts
    return replace(parts[0], tiles=tiles, tiles_per_object=tiles_per_object, in_no_tile=in_no_tile)


def sum_stats(stats: Sequence[SplitStats]) -> SplitTotals:
    """Add up the statistics of all images.

    Example:
        >>> tile = Tile("P1__128__0___0", objects=1, truncated=0)
        >>> stats = SplitStats(width=100, height=80, objects=2, without_area=(), in_no_tile=(1,), tiles=(tile,))
        >>> sum_stats([stats]).in_no_tile
        1
    """
    tiles = [tile for image_stats in stats for tile in image_stats.tiles]
    return SplitTotals(
        images=len(stats),
        tiles=len(tiles),
        empty_tiles=sum(tile.objects == 0 for tile in tiles),
        objects_in_images=sum(image_stats.objects for image_stats in stats),
        objects_in_tiles=sum(tile.objects for tile in tiles),
        truncated=sum(tile.truncated for tile in tiles),
        without_area=sum(len(image_stats.without_area) for image_stats in stats),
        in_no_tile=sum(len(image_stats.in_no_tile) for image_stats in stats),
    )
