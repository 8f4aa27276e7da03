"""The manifest of a split: what was asked, what was read, what was written. The same split gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rotated_atss import __version__
from rotated_atss.tiling.split_image import SplitStats, Tile
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.staging import WRITTEN_BY

FORMAT = 1


@dataclass(frozen=True)
class Source:
    """An image to split: its file, its label file, and the line of ``--images`` it came from."""

    image: Path
    labels: Path | None
    folder: int

    @property
    def image_id(self) -> str:
        """The file's name without its suffix."""
        return self.image.stem


@dataclass(frozen=True)
class SplitTotals:
    """Counts over all images and tiles."""

    images: int
    tiles: int
    empty_tiles: int
    objects_in_images: int
    objects_in_tiles: int  # an object in two tiles counts twice
    truncated: int
    without_area: int
    in_no_tile: int


def total(images: Sequence[SplitStats]) -> SplitTotals:
    """Add the counts up."""
    tiles = [tile for image in images for tile in image.tiles]
    return SplitTotals(
        images=len(images),
        tiles=len(tiles),
        empty_tiles=sum(tile.objects == 0 for tile in tiles),
        objects_in_images=sum(image.objects for image in images),
        objects_in_tiles=sum(tile.objects for tile in tiles),
        truncated=sum(tile.truncated for tile in tiles),
        without_area=sum(len(image.without_area) for image in images),
        in_no_tile=sum(image.in_no_tile for image in images),
    )


def manifest_bytes(
    settings: SplitSettings,
    folders: Sequence[tuple[str, str | None]],
    sources: Sequence[Source],
    images: Sequence[SplitStats],
) -> bytes:
    """The manifest as JSON, sorted by image and tile. ``folders`` are the pairs of image and label folder as given."""
    rows = sorted(zip(sources, images), key=lambda row: row[0].image_id)
    manifest = {
        "written_by": WRITTEN_BY,
        "format": FORMAT,
        "version": __version__,
        "settings": asdict(settings),
        "folders": [{"images": image_folder, "labels": label_folder} for image_folder, label_folder in folders],
        "totals": asdict(total(images)),
        "images": [_image_entry(source, image) for source, image in rows],
        "tiles": [_tile_entry(source, tile) for source, image in rows for tile in _sorted_tiles(image)],
    }
    return (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()


def _image_entry(source: Source, image: SplitStats) -> dict[str, object]:
    return {
        "file": source.image.name,
        "folder": source.folder,
        "width": image.width,
        "height": image.height,
        "objects": image.objects,
        "without_area": len(image.without_area),
        "in_no_tile": image.in_no_tile,
        "tiles": len(image.tiles),
    }


def _sorted_tiles(image: SplitStats) -> list[Tile]:
    return sorted(image.tiles, key=lambda tile: tile.name)


def _tile_entry(source: Source, tile: Tile) -> dict[str, object]:
    return {"image": source.image.name, **asdict(tile)}
