"""The manifest of a split: its settings, its input and its output. The same split gives the same bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

from rotated_atss import __version__
from rotated_atss.coco.json_file import is_finite_number, read_json
from rotated_atss.errors import UserError, count_of, is_or_are, quote
from rotated_atss.io.bit_depth import MAX_BITS, MIN_BITS
from rotated_atss.io.pixel_options import AUTO, PixelOptions, check_bands, check_scaling
from rotated_atss.tiling.source_images import SourceImage
from rotated_atss.tiling.split_image import SplitStats
from rotated_atss.tiling.split_settings import SplitSettings

MANIFEST = "manifest.json"
FULL_LABELS = "labelTxt_full"
"""Folder of a split for the labels of the full images as DOTA text, where those it was made from are something else."""
WRITTEN_BY = "rotated-atss split"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """The entries of a manifest that a reader of the tiles needs.

    Attributes:
        written_by: The program that wrote it; empty if it is not recorded.
        label_folders: Absolute paths of the label folders of the full images, all of DOTA text.
        tiles: Names of the tiles; empty if they are not recorded.
        keep_empty: Whether tiles without objects were written.
        window: Size and gap of the windows at rate 1, pixels; (0, 0) for whole images; None if they are not recorded.
        whole_images: Whether the images were kept in one piece.
        pixels: Conversion of the pixels of the images to 8-bit color.
        ground_resolution: Meters per pixel of the tiles: the median of the images for which it is recorded, divided by
            the median rate if rates resample, rounded to millimeters; None if it is not recorded.
        image_folders: Absolute paths of the folders of the full images.
        input_digest: Digest of images, labels and settings as they were given; empty if it is not recorded.
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
        >>> sum_stats([SplitStats(100, 80, 2, (), (1,), (Tile("P1__128__0___0", 1, 0),))]).in_no_tile
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


def manifest_bytes(
    settings: SplitSettings,
    folders: Sequence[tuple[str, str | None]],
    sources: Sequence[SourceImage],
    stats: Sequence[SplitStats],
    out: str | Path = ".",
    formats: Sequence[str | None] = (),
    full_labels: str | None = None,
    input_digest: str = "",
) -> bytes:
    """Format the manifest as JSON, sorted by image and tile.

    Args:
        settings: The settings of the split.
        folders: Pairs of image and label folder.
        sources: The images.
        stats: Statistics per image, in the order of ``sources``.
        out: The folder of the manifest. Folders are recorded relative to it, independent of the working directory.
        formats: Label format per folder; other formats than ``dota`` are recorded.
        full_labels: Folder below ``out`` with labels of the full images as DOTA text, which evaluation reads instead of
            the label folders; None if there is none.
        input_digest: Digest of the input, by which the same split is recognized.

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
        **({} if full_labels is None else {"full_labels": full_labels}),
        "totals": asdict(sum_stats(stats)),
        **({"input_digest": input_digest} if input_digest else {}),
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
        "in_no_tile": len(stats.in_no_tile),
        "tiles": len(stats.tiles),
        **({} if stats.ground_resolution is None else {"ground_resolution": stats.ground_resolution}),
    }


def read_manifest(path: str | Path) -> Manifest:
    """Read the manifest of a split.

    Args:
        path: The file. Folders recorded in it are absolute or relative to its own folder.

    Raises:
        UserError: The file cannot be read, or is not a manifest of a split.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, MANIFEST)
        ...     _ = path.write_bytes(manifest_bytes(SplitSettings(), [], [], []))
        ...     read_manifest(path).window
        (1024, 200)
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise _manifest_error(path, "the content", "an object", content)
    folders = _get(content, "folders", list, [], path)
    tiles = _get(content, "tiles", list, [], path)
    settings = _get(content, "settings", dict, {}, path)
    return Manifest(
        written_by=_get(content, "written_by", str, "", path),
        label_folders=_full_labels(content, path) or tuple(_label_folders(folders, path)),
        image_folders=tuple(_image_folders(folders, path)),
        tiles=tuple(_entries(tiles, "tiles", "name", path)),
        keep_empty=_get(settings, "keep_empty", bool, True, path),
        window=_window(settings, path),
        whole_images=_get(settings, "whole_images", bool, False, path),
        pixels=_pixels(settings, path),
        ground_resolution=_ground_resolution(_get(content, "images", list, [], path), settings, path),
        input_digest=_get(content, "input_digest", str, "", path),
        totals=_totals(_get(content, "totals", dict, {}, path)),
    )


def source_label_folders(data_root: str | Path | None) -> list[str]:
    """Return the label folders of the full images that the tiles below ``data_root`` were cut from.

    Args:
        data_root: Output folder of a split, with its ``manifest.json``.

    Returns:
        The existing label folders of DOTA text recorded in the manifest, whose paths are absolute or relative to it;
        empty without a manifest.

    Raises:
        UserError: The manifest is not one of a split.

    Example:
        >>> import json, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = {"folders": [{"images": folder, "labels": folder}]}
        ...     _ = Path(folder, "manifest.json").write_text(json.dumps(manifest))
        ...     source_label_folders(folder) == [folder]
        True
    """
    return [folder for folder in find_manifest(data_root).label_folders if os.path.isdir(folder)]


def find_manifest(data_root: str | Path | None) -> Manifest:
    """Read the manifest below ``data_root``; return an empty one if there is none.

    Args:
        data_root: Output folder of a split, or another folder.

    Raises:
        UserError: The manifest is not one of a split.

    Example:
        >>> find_manifest("no_such_folder").tiles
        ()
    """
    path = Path(data_root or "") / MANIFEST
    return read_manifest(path) if data_root and path.is_file() else Manifest()


def check_tiles(
    manifest: Manifest, names: Collection[str], where: object = None, *, allow_missing: bool = False
) -> list[str]:
    """Compare the tiles of a folder with the manifest of their split.

    Args:
        manifest: The manifest; an empty one accepts all tiles.
        names: Names of the tiles in the folder.
        where: The folder, for errors.
        allow_missing: Accept a folder without some of the tiles.

    Returns:
        What makes the AP on these tiles incomparable.

    Raises:
        UserError: Tiles are missing, or are of another split.

    Example:
        >>> check_tiles(Manifest(tiles=("a", "b")), ["a"], allow_missing=True)
        ['AP is of a subset: 1 of the 2 tiles of the split is missing']
    """
    listed = set(manifest.tiles)
    num_listed, num_tiles = count_of(len(listed), "tile"), count_of(len(names), "tile")
    missing = sorted(listed - set(names))
    are_missing = f"{is_or_are(len(missing))} missing"
    if missing and not allow_missing:
        raise UserError(
            f"{len(missing)} of the {num_listed} of the manifest {are_missing}, the first is {missing[0]}",
            where=where,
            hint="copy or split again, or set allow_missing_tiles=True on the dataset",
        )
    foreign = sorted(set(names) - listed) if listed else []
    if foreign:
        which = f"{len(foreign)} of the {num_tiles} {is_or_are(len(foreign))}"
        raise UserError(
            f"{which} not in the manifest, the first is {foreign[0]}",
            where=where,
            hint="split again into a new folder",
        )
    notes = []
    if missing:
        notes.append(f"AP is of a subset: {len(missing)} of the {num_listed} of the split {are_missing}")
    if not manifest.keep_empty:
        notes.append("AP is biased: the split left out tiles without objects, and false positives there")
    return notes


def _pixels(settings: dict[str, Any], path: str | Path) -> PixelOptions:
    bits, scaling, bands = settings.get("bits"), settings.get("scaling", AUTO), settings.get("bands")
    if bits is not None and not (type(bits) is int and MIN_BITS <= bits <= MAX_BITS):
        raise _manifest_error(path, "settings.bits", f"from {MIN_BITS} to {MAX_BITS} or null", bits)
    try:
        check_scaling(scaling)
    except UserError:
        raise _manifest_error(path, "settings.scaling", "a rule or two ascending numbers", scaling) from None
    try:
        check_bands(bands)
    except UserError:
        raise _manifest_error(path, "settings.bands", "one or three numbers from 1, or null", bands) from None
    return PixelOptions.of(bits, scaling, bands)


def _totals(content: dict[str, Any]) -> SplitTotals | None:
    names = [each.name for each in fields(SplitTotals)]
    if not all(type(content.get(name)) is int for name in names):
        return None
    return SplitTotals(**{name: content[name] for name in names})


def _ground_resolution(images: Sequence[Any], settings: dict[str, Any], path: str | Path) -> float | None:
    """Return the median of the recorded values, at the median rate of the tiles."""
    values = [entry.get("ground_resolution") for entry in images if isinstance(entry, dict)]
    known = [value for value in values if value is not None]
    for value in known:
        if not is_finite_number(value) or value <= 0:
            raise _manifest_error(path, "images.ground_resolution", "a number above 0, in meters per pixel", value)
    if not known:
        return None
    rates = _get(settings, "rates", list, [], path) if settings.get("name_style") == "devkit" else []
    for rate in rates:
        if not is_finite_number(rate) or rate <= 0:
            raise _manifest_error(path, "settings.rates", "numbers above 0", rate)
    return round(median(known) / median(rates or [1]), 3) or None


def _window(settings: dict[str, Any], path: str | Path) -> tuple[int, int] | None:
    """Return size and gap of the first windows of a split; its other rates are scales of them."""
    if settings.get("whole_images"):
        return 0, 0
    if "sizes" not in settings:
        return None
    values = []
    for key in ("sizes", "gaps"):
        numbers = _get(settings, key, list, [], path)
        if not numbers or type(numbers[0]) is not int:
            raise _manifest_error(path, f"settings.{key}", "a list of integers", numbers)
        values.append(numbers[0])
    size, gap = values
    if not 0 <= gap < size:
        raise _manifest_error(path, "settings.gaps", f"from 0 to less than the size {size}", gap)
    return size, gap


def _full_labels(content: dict[str, Any], path: str | Path) -> tuple[str, ...]:
    folder = _get(content, "full_labels", str, "", path)
    if "\0" in folder:
        raise _manifest_error(path, "full_labels", "a path", folder)
    return (os.path.normpath(Path(path).resolve().parent / folder),) if folder else ()


def _label_folders(folders: Sequence[Any], path: str | Path) -> list[str]:
    root = Path(path).resolve().parent
    labels = []
    for index, entry in enumerate(folders):
        if not isinstance(entry, dict):
            raise _manifest_error(path, f"folders[{index}]", "an object", entry)
        folder = entry.get("labels")
        if folder is None or entry.get("label_format", "dota") != "dota":
            continue
        if not isinstance(folder, str) or "\0" in folder:
            raise _manifest_error(path, f"folders[{index}].labels", "a path or null", folder)
        if folder:
            labels.append(os.path.normpath(root / folder))
    return labels


def _image_folders(folders: Sequence[Any], path: str | Path) -> list[str]:
    """Return the folders of images; entries of another form, which only a report of a test would need, are left out."""
    root = Path(path).resolve().parent
    named = [entry.get("images") for entry in folders if isinstance(entry, dict)]
    paths = (os.path.normpath(root / folder) for folder in named if isinstance(folder, str) and "\0" not in folder)
    return list(dict.fromkeys(paths))


def _entries(entries: Sequence[Any], label: str, key: str, path: str | Path) -> list[str]:
    """Return the text ``entry[key]`` of each entry, the name of a file without its folder."""
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
            raise _manifest_error(path, f"{label}[{index}]", f"an object with a {key}", entry)
        if not entry[key].isprintable() or "/" in entry[key] or "\\" in entry[key]:
            raise _manifest_error(path, f"{label}[{index}].{key}", "a file name", entry[key])
    return [entry[key] for entry in entries]


def _get(content: dict[str, Any], key: str, kind: type, default: Any, path: str | Path) -> Any:
    value = content.get(key, default)
    if not isinstance(value, kind):
        names = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
        raise _manifest_error(path, key, names[kind], value)
    return value


def _manifest_error(path: str | Path, label: str, expected: str, value: object) -> UserError:
    shown = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else quote(value)
    what = f"not a manifest of a split: {label} must be {expected}, got {shown}"
    return UserError(what, where=path, hint="split again")
