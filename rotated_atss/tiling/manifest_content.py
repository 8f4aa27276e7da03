"""Read and validate the values of a manifest file; a malformed value raises a one-line error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from rotated_atss.coco.json_file import is_finite_number, read_json
from rotated_atss.errors import UserError, quote
from rotated_atss.io.bit_depth import MAX_BITS, MIN_BITS
from rotated_atss.io.pixel_options import AUTO, PixelOptions, check_bands, check_scaling
from rotated_atss.tiling.split_stats import SplitTotals

_TYPE_NAMES = {list: "a list", dict: "an object", str: "a string", bool: "true or false"}


@dataclass(frozen=True)
class ManifestContent:
    """Content of a manifest file.

    Methods return a default for a missing entry and raise a UserError for a malformed one, unless stated otherwise.

    Attributes:
        path: The file.
        entries: Its JSON object.

    Example:
        >>> ManifestContent(Path("manifest.json"), {"tiles": [{"name": "P1__1024__0___0"}]}).tile_names()
        ('P1__1024__0___0',)
    """

    path: Path
    entries: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> ManifestContent:
        """Read a manifest file.

        Raises:
            UserError: The file cannot be read, or is not a JSON object.
        """
        entries = read_json(path)
        content = cls(Path(path), entries)
        if not isinstance(entries, dict):
            raise content._error("the content", "an object", entries)
        return content

    def text(self, key: str) -> str:
        """Return a string entry, or an empty string if the entry is missing."""
        return str(self._get(self.entries, key, str, ""))

    def setting(self, key: str, expected_type: type, default: Any) -> Any:
        """Return a setting of the split, or ``default`` if it is missing."""
        return self._get(self._settings(), key, expected_type, default)

    def tile_names(self) -> tuple[str, ...]:
        """Return the names of the tiles, which are file names without a folder."""
        tiles = self._get(self.entries, "tiles", list, [])
        for index, tile in enumerate(tiles):
            if not isinstance(tile, dict) or not isinstance(tile.get("name"), str):
                raise self._error(f"tiles[{index}]", "an object with a name", tile)
            name = tile["name"]
            if not name.isprintable() or "/" in name or "\\" in name:
                raise self._error(f"tiles[{index}].name", "a file name", name)
        return tuple(tile["name"] for tile in tiles)

    def written_label_folders(self) -> tuple[str, ...]:
        """Return the folder to which the split wrote the labels of the full images; () if it wrote no such folder."""
        folder = self.text("full_labels")
        if "\0" in folder:
            raise self._error("full_labels", "a path", folder)
        return (self._absolute(folder),) if folder else ()

    def input_label_folders(self) -> tuple[str, ...]:
        """Return the folders of DOTA text that the split read."""
        return tuple(self._iter_input_label_folders())

    def _iter_input_label_folders(self) -> Iterator[str]:
        for index, entry in enumerate(self._get(self.entries, "folders", list, [])):
            if not isinstance(entry, dict):
                raise self._error(f"folders[{index}]", "an object", entry)
            folder = entry.get("labels")
            if folder is None or entry.get("label_format", "dota") != "dota":
                continue
            if not isinstance(folder, str) or "\0" in folder:
                raise self._error(f"folders[{index}].labels", "a path or null", folder)
            if folder:
                yield self._absolute(folder)

    def image_folders(self) -> tuple[str, ...]:
        """Return the folders of images that the split read.

        Malformed entries are left out without an error, because only reports use these folders.
        """
        folder_entries = self._get(self.entries, "folders", list, [])
        folders = [entry.get("images") for entry in folder_entries if isinstance(entry, dict)]
        valid_folders = [folder for folder in folders if isinstance(folder, str) and "\0" not in folder]
        return tuple(dict.fromkeys(map(self._absolute, valid_folders)))

    def window(self) -> tuple[int, int] | None:
        """Return the first window size and the first gap in the settings.

        Returns:
            (size, gap) in pixels; (0, 0) if the images were not divided; None if the settings contain no sizes.
        """
        settings = self._settings()
        if settings.get("whole_images"):
            return 0, 0
        if "sizes" not in settings:
            return None
        size, gap = self._first_integer("sizes"), self._first_integer("gaps")
        if not 0 <= gap < size:
            raise self._error("settings.gaps", f"from 0 to less than the size {size}", gap)
        return size, gap

    def _first_integer(self, key: str) -> int:
        numbers = self.setting(key, list, [])
        if not numbers or type(numbers[0]) is not int:  # isinstance would accept true and false as integers
            raise self._error(f"settings.{key}", "a list of integers", numbers)
        return int(numbers[0])

    def pixels(self) -> PixelOptions:
        """Return the conversion of the pixels of the images to 8-bit color."""
        settings = self._settings()
        bits, scaling, bands = settings.get("bits"), settings.get("scaling", AUTO), settings.get("bands")
        has_valid_bits = bits is None or (type(bits) is int and MIN_BITS <= bits <= MAX_BITS)
        if not has_valid_bits:
            raise self._error("settings.bits", f"from {MIN_BITS} to {MAX_BITS} or null", bits)
        try:
            check_scaling(scaling)
        except UserError:
            raise self._error("settings.scaling", "a rule or two ascending numbers", scaling) from None
        try:
            check_bands(bands)
        except UserError:
            raise self._error("settings.bands", "one or three integers of at least 1, or null", bands) from None
        return PixelOptions.of(bits, scaling, bands)

    def ground_resolution(self) -> float | None:
        """Return the meters per pixel of the tiles; None if no image has a recorded resolution.

        This is the median over the images. It is divided by the median rate if the split resampled the images.
        """
        image_entries = self._get(self.entries, "images", list, [])
        values_or_none = [entry.get("ground_resolution") for entry in image_entries if isinstance(entry, dict)]
        resolutions = [value for value in values_or_none if value is not None]
        for value in resolutions:
            if not is_finite_number(value) or value <= 0:
                raise self._error("images.ground_resolution", "a number above 0, in meters per pixel", value)
        if not resolutions:
            return None
        # In the name style "devkit", a rate resamples the images. In the name style "mmrotate", a rate changes the size
        # of the windows instead, and the tiles keep the resolution of the images.
        resamples_images = self._settings().get("name_style") == "devkit"
        rates = self.setting("rates", list, []) if resamples_images else []
        for rate in rates:
            if not is_finite_number(rate) or rate <= 0:
                raise self._error("settings.rates", "numbers above 0", rate)
        resolution = round(median(resolutions) / median(rates or [1]), 3)
        return resolution or None  # a resolution that is rounded to 0 is of no use

    def totals(self) -> SplitTotals | None:
        """Return the counts over all images and tiles; None if any count is missing or not an integer."""
        counts = self._get(self.entries, "totals", dict, {})
        names = [field.name for field in fields(SplitTotals)]
        if not all(type(counts.get(name)) is int for name in names):
            return None
        return SplitTotals(**{name: counts[name] for name in names})

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self._get(self.entries, "settings", dict, {})
        return settings

    def _absolute(self, folder: str) -> str:
        """Return the absolute path of a recorded folder, which can be relative to the folder of the manifest."""
        return os.path.normpath(self.path.resolve().parent / folder)

    def _get(self, entries: dict[str, Any], key: str, expected_type: type, default: Any) -> Any:
        """Return ``entries[key]``, or ``default`` if it is missing; raise an error if it has another type."""
        value = entries.get(key, default)
        if not isinstance(value, expected_type):
            raise self._error(key, _TYPE_NAMES[expected_type], value)
        return value

    def _error(self, entry: str, expected: str, value: object) -> UserError:
        got = _TYPE_NAMES[type(value)] if isinstance(value, (dict, list)) else quote(value)
        what = f"not a manifest of a split: {entry} must be {expected}, got {got}"
        return UserError(what, where=self.path, hint="split again")
