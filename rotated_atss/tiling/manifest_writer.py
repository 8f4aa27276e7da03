"""Format the manifest of a split. Equal splits give identical bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rotated_atss import __version__
from rotated_atss.tiling.manifest import WRITTEN_BY
from rotated_atss.tiling.source_images import SourceImage
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.split_stats import SplitStats, sum_stats

FORMAT_VERSION = 1
"""Version of the format of manifest files."""


def format_manifest(
    settings: SplitSettings,
    folders: Sequence[tuple[str, str | None]],
    sources: Sequence[SourceImage],
    stats: Sequence[SplitStats],
    out: str | Path = ".",
    label_formats: Sequence[str | None] = (),
    full_labels: str | None = None,
    input_digest: str = "",
) -> bytes:
    """Format the manifest as JSON, with images and tiles sorted by name.

    Args:
        settings: The settings of the split.
        folders: Pairs of image folder and label folder.
        sources: The images.
        stats: Statistics per image, in the order of ``sources``.
        out: The folder of the manifest. Paths of folders are recorded relative to this folder, and do not depend on the
            working directory.
        label_formats: Label format per folder; ``dota`` is the default of the manifest and is not recorded.
        full_labels: Folder below ``out`` with labels of the full images as DOTA text, which evaluation reads instead of
            the label folders; None if the split did not write such a folder.
        input_digest: Digest of the input, to recognize a finished split of the same input.

    Example:
        >>> json.loads(format_manifest(SplitSettings(), [], [], []))["settings"]["sizes"]
        [1024]
    """
    sources_and_stats = sorted(zip(sources, stats), key=lambda pair: pair[0].image_id)
    format_per_folder = label_formats or [None] * len(folders)
    manifest: dict[str, Any] = {
        "written_by": WRITTEN_BY,
        "format": FORMAT_VERSION,
        "version": __version__,
        "settings": asdict(settings),
        "folders": [
            _folder_entry(image_folder, label_folder, label_format, out)
            for (image_folder, label_folder), label_format in zip(folders, format_per_folder, strict=True)
        ],
    }
    if full_labels is not None:
        manifest["full_labels"] = full_labels
    manifest["totals"] = asdict(sum_stats(stats))
    if input_digest:
        manifest["input_digest"] = input_digest
    manifest["images"] = [_image_entry(source, image_stats) for source, image_stats in sources_and_stats]
    manifest["tiles"] = [
        {"image": source.image.name, **asdict(tile)}
        for source, image_stats in sources_and_stats
        for tile in sorted(image_stats.tiles, key=lambda tile: tile.name)
    ]
    return (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()


def _folder_entry(
    image_folder: str, label_folder: str | None, label_format: str | None, out: str | Path
) -> dict[str, str | None]:
    entry = {
        "images": _relative(image_folder, out),
        "labels": None if label_folder is None else _relative(label_folder, out),
    }
    return entry if label_format in (None, "dota") else {**entry, "label_format": label_format}


def _relative(folder: str, out: str | Path) -> str:
    """Return the path of a folder relative to ``out``, or its absolute path if it is on another drive of Windows."""
    target = Path(folder).resolve()
    try:
        return Path(os.path.relpath(target, Path(out).resolve())).as_posix()
    except ValueError:
        return target.as_posix()


def _image_entry(source: SourceImage, stats: SplitStats) -> dict[str, object]:
    entry: dict[str, object] = {
        "file": source.image.name,
        "folder": source.folder_index,
        "width": stats.width,
        "height": stats.height,
        "objects": stats.objects,
        "without_area": len(stats.without_area),
        "in_no_tile": len(stats.in_no_tile),
        "tiles": len(stats.tiles),
    }
    return entry if stats.ground_resolution is None else {**entry, "ground_resolution": stats.ground_resolution}
