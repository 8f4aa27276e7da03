"""The manifest of a split: its settings, its input and its output. Equal splits give equal bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rotated_atss import __version__
from rotated_atss.tiling.source_images import SourceImage
from rotated_atss.tiling.split_image import SplitStats
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.staging import WRITTEN_BY

FORMAT = 1


@dataclass(frozen=True)
class SplitTotals:
    """Counts over all images and tiles of a split."""

    images: int
    tiles: int
    empty_tiles: int
    objects_in_images: int
    objects_in_tiles: int  # an object in two tiles counts twice
    truncated: int
    without_area: int
    in_no_tile: int


def sum_stats(stats: Sequence[SplitStats]) -> SplitTotals:
    """Add up the statistics of all images.

    Example:
        >>> from rotated_atss.tiling.split_image import SplitStats, Tile
        >>> sum_stats([SplitStats(100, 80, 2, (), 1, (Tile("P1__128__0___0", 1, 0),))]).in_no_tile
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
        in_no_tile=sum(image_stats.in_no_tile for image_stats in stats),
    )


def manifest_bytes(
    settings: SplitSettings,
    folders: Sequence[tuple[str, str | None]],
    sources: Sequence[SourceImage],
    stats: Sequence[SplitStats],
    out: str | Path = ".",
    formats: Sequence[str | None] = (),
) -> bytes:
    """Format the manifest as JSON, sorted by image and tile.

    Args:
        settings: The settings of the split.
        folders: Pairs of image and label folder.
        sources: The images.
        stats: Statistics per image, in the order of ``sources``.
        out: The folder of the manifest. Folders are recorded relative to it, independent of the working directory.
        formats: Label format per folder; other formats than ``dota`` are recorded.

    Example:
        >>> json.loads(manifest_bytes(SplitSettings(), [], [], []))["settings"]["sizes"]
        [1024]
    """
    rows = sorted(zip(sources, stats), key=lambda row: row[0].image_id)
    manifest = {
        "written_by": WRITTEN_BY,
        "format": FORMAT,
        "version": __version__,
        "settings": asdict(settings),
        "folders": [
            _folder_entry(images, labels, formats[index] if formats else None, out)
            for index, (images, labels) in enumerate(folders)
        ],
        "totals": asdict(sum_stats(stats)),
        "images": [_image_entry(source, image_stats) for source, image_stats in rows],
        "tiles": [
            {"image": source.image.name, **asdict(tile)}
            for source, image_stats in rows
            for tile in sorted(image_stats.tiles, key=lambda tile: tile.name)
        ],
    }
    return (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()


def _folder_entry(images: str, labels: str | None, label_format: str | None, out: str | Path) -> dict[str, str | None]:
    entry = {"images": _relative(images, out), "labels": None if labels is None else _relative(labels, out)}
    return entry if label_format in (None, "dota") else {**entry, "label_format": label_format}


def _relative(folder: str, out: str | Path) -> str:
    """Return a folder relative to ``out``; on another drive of Windows, absolute."""
    target = Path(folder).resolve()
    try:
        return Path(os.path.relpath(target, Path(out).resolve())).as_posix()
    except ValueError:
        return target.as_posix()


def _image_entry(source: SourceImage, stats: SplitStats) -> dict[str, object]:
    return {
        "file": source.image.name,
        "folder": source.folder,
        "width": stats.width,
        "height": stats.height,
        "objects": stats.objects,
        "without_area": len(stats.without_area),
        "in_no_tile": stats.in_no_tile,
        "tiles": len(stats.tiles),
    }
