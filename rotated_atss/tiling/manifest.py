"""Read the manifest of a split: the file ``manifest.json``, which records settings, source images and tiles."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from rotated_atss.errors import UserError, count_of, is_or_are
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.tiling.manifest_content import ManifestContent
from rotated_atss.tiling.split_stats import SplitTotals

MANIFEST = "manifest.json"
FULL_LABELS = "labelTxt_full"
"""Folder of a split with the labels of the full images (not of the tiles) as DOTA text.

It is written if the source labels are not DOTA text, or if their classes are renamed.
"""
WRITTEN_BY = "rotated-atss split"
"""Value of ``written_by`` in the manifests of this package."""


@dataclass(frozen=True)
class Manifest:
    """The entries of a manifest that are needed to use the tiles.

    Attributes:
        written_by: The program that wrote the manifest; empty if it is not recorded.
        label_folders: Absolute paths of the folders with the labels of the full images as DOTA text.
        tiles: Names of the tiles; empty if they are not recorded.
        keep_empty: Whether tiles without objects were written.
        window: The first window size and the first gap in the settings, in pixels, before a rate changes them. (0, 0)
            if the images were not divided; None if no size is recorded.
        whole_images: Whether the images were not divided.
        pixels: Conversion of the pixels of the images to 8-bit color.
        ground_resolution: Meters per pixel of the tiles, rounded to millimeters. This is the median over the images
            with a recorded resolution. If the split resized images, the median is divided by the median rate (resize
            factor). None if no image has a recorded resolution.
        image_folders: Absolute paths of the folders of the full images.
        input_digest: Digest of the images, labels and settings that were given; empty if it is not recorded.
        totals: Counts over all images and tiles; None if they are not recorded.
    """

    written_by: str = ""
    label_folders: tuple[str, ...] = ()
    tiles: tuple[str, ...] = ()
    keep_empty: bool = True
    window: tuple[int, int] | None = None
    whole_images: bool = False
    pixels: PixelOptions = field(default_factory=PixelOptions)
    ground_resolution: float | None = None
    image_folders: tuple[str, ...] = ()
    input_digest: str = ""
    totals: SplitTotals | None = None


def read_manifest(path: str | Path) -> Manifest:
    """Read the manifest of a split.

    Args:
        path: The file. Folders recorded in it are absolute or relative to its own folder.

    Raises:
        UserError: The file cannot be read, or is not a manifest of a split.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, MANIFEST).write_text('{"settings": {"sizes": [1024], "gaps": [200]}}')
        ...     read_manifest(Path(folder, MANIFEST)).window
        (1024, 200)
    """
    content = ManifestContent.read(path)
    return Manifest(
        written_by=content.text("written_by"),
        label_folders=content.written_label_folders() or content.input_label_folders(),
        tiles=content.tile_names(),
        keep_empty=content.setting("keep_empty", bool, True),
        window=content.window(),
        whole_images=content.setting("whole_images", bool, False),
        pixels=content.pixels(),
        ground_resolution=content.ground_resolution(),
        image_folders=content.image_folders(),
        input_digest=content.text("input_digest"),
        totals=content.totals(),
    )


def find_manifest(data_root: str | Path | None) -> Manifest:
    """Read the manifest in ``data_root``; return an empty manifest if the folder has none.

    Args:
        data_root: Output folder of a split, or another folder; None or empty for no folder.

    Raises:
        UserError: The file is not a manifest of a split.

    Example:
        >>> find_manifest("no_such_folder").tiles
        ()
    """
    if not data_root:
        return Manifest()
    path = Path(data_root) / MANIFEST
    return read_manifest(path) if path.is_file() else Manifest()


def source_label_folders(data_root: str | Path | None) -> list[str]:
    """Return the label folders of the full images from which the tiles in ``data_root`` were cut.

    Args:
        data_root: Output folder of a split, with its ``manifest.json``.

    Returns:
        The folders of DOTA text that the manifest records and that exist; an empty list if there is no manifest.

    Raises:
        UserError: The file is not a manifest of a split.

    Example:
        >>> import json, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = {"folders": [{"images": folder, "labels": folder}]}
        ...     _ = Path(folder, "manifest.json").write_text(json.dumps(manifest))
        ...     source_label_folders(folder) == [folder]
        True
    """
    return [folder for folder in find_manifest(data_root).label_folders if os.path.isdir(folder)]


def check_tiles(
    manifest: Manifest, names: Collection[str], where: object = None, *, allow_missing: bool = False
) -> list[str]:
    """Compare the tiles in a folder with the tiles that a manifest lists.

    Args:
        manifest: Manifest of the split. A manifest that lists no tiles accepts all tiles.
        names: Names of the tiles in the folder.
        where: The folder, for errors.
        allow_missing: Accept a folder without some of the tiles.

    Returns:
        Notes for the user: reasons why AP on these tiles is not the AP on the whole dataset.

    Raises:
        UserError: Tiles are missing, or tiles of another split are in the folder.

    Example:
        >>> check_tiles(Manifest(tiles=("a", "b")), ["a"], allow_missing=True)
        ['AP is of a subset: 1 of the 2 tiles of the split is missing']
    """
    listed = set(manifest.tiles)
    listed_tiles_text = count_of(len(listed), "tile")  # for example "12 tiles"
    missing = sorted(listed - set(names))
    if missing and not allow_missing:
        what = (
            f"{len(missing)} of the {listed_tiles_text} of the manifest {is_or_are(len(missing))} missing, "
            f"the first is {missing[0]}"
        )
        hint = "copy them, split again, or set allow_missing_tiles=True on the dataset"
        raise UserError(what, where=where, hint=hint)
    unlisted = sorted(set(names) - listed) if listed else []
    if unlisted:
        what = (
            f"{len(unlisted)} of the {count_of(len(names), 'tile')} {is_or_are(len(unlisted))} not in the manifest, "
            f"the first is {unlisted[0]}"
        )
        raise UserError(what, where=where, hint="split again into a new folder")
    notes = []
    if missing:
        missing_text = f"{len(missing)} of the {listed_tiles_text} of the split {is_or_are(len(missing))} missing"
        notes.append(f"AP is of a subset: {missing_text}")
    if not manifest.keep_empty:
        notes.append("AP is biased: the split left out tiles without objects, so false positives there do not count")
    return notes
