"""Recognize label formats from the content of files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rotated_atss.coco.json_file import read_json
from rotated_atss.dota.detections import TASK1_PREFIX
from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes
from rotated_atss.label_formats.labelstudio import is_task
from rotated_atss.label_formats.registry import FORMATS
from rotated_atss.label_formats.ucas_aod import NUM_VALUES
from rotated_atss.label_formats.xml_file import read_xml

_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_HEADER = re.compile(rb"\s*(imagesource|gsd|acquisition dates)\s*:", re.IGNORECASE)
_HEAD_BYTES = 1 << 14  # number of bytes at the start of a text file that are searched for a header or an object


def recognize_format(paths: Sequence[Path]) -> str:
    """Recognize the format of label files, which must be the same for all files.

    Text files that are not recognized, for example because their first line is malformed, do not count if the other
    files have a text format. The reader of this format then reports the malformed line.

    Args:
        paths: The files, at least one.

    Raises:
        UserError: No text file is recognized, a JSON or XML file is not recognized, or two files have different
            formats.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     recognize_format([Path(folder, "P1.txt")])
        'dota'
    """
    possible = frozenset(FORMATS)
    deciding_path = paths[0]  # the last file that excluded a possible format
    unknown_paths = []
    for path in paths:
        formats = possible_formats(path)
        if not formats and path.suffix.lower() == ".txt":
            unknown_paths.append(path)
            continue
        if not formats:
            raise _unknown_format_error(path)
        if not possible & formats:
            found, expected = _join_names(formats), _join_names(possible)
            what = f"this file has the format {found}, but {deciding_path.name} has {expected}"
            raise UserError(what, where=path, hint="put the formats into separate folders")
        if possible & formats < possible:
            possible, deciding_path = possible & formats, path
    # If several formats remain, for example because no file has objects, the first one in FORMATS is taken.
    name = next(name for name in FORMATS if name in possible)
    # Unknown text files are an error, unless they are read together with text files of a known format.
    if unknown_paths and (len(unknown_paths) == len(paths) or ".txt" not in FORMATS[name].suffixes):
        read_labels(unknown_paths[0])  # raises an error that names the malformed line
        raise _unknown_format_error(unknown_paths[0])
    return name


def _unknown_format_error(path: Path) -> UserError:
    hint = f"known formats: {', '.join(FORMATS)}; use --from FORMAT to see what is wrong with the file"
    return UserError("not a label file of a known format", where=path, hint=hint)


def check_format(paths: Sequence[Path], name: str) -> None:
    """Raise an error if a file is recognized as a format other than ``name``.

    Raises:
        UserError: A file has another format. A file of unknown format raises no error here, because the reader of the
            format ``name`` raises a more precise one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     check_format([Path(folder, "P1.txt")], "yolo-obb")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: ...P1.txt: this file has the format dota, not yolo-obb (...)
    """
    for path in paths:
        formats = possible_formats(path)
        if formats and name not in formats:
            hint = "pass the format of the file, or auto"
            raise UserError(f"this file has the format {_join_names(formats)}, not {name}", where=path, hint=hint)


def possible_formats(path: Path) -> frozenset[str]:
    """Return the formats that a file can have.

    Several formats are possible if the file has no objects, or has geometry that can be read as either of two formats.
    For a file of unknown format, the result is empty.

    Raises:
        UserError: The file is not well-formed XML or JSON.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P1.txt").touch()
        ...     sorted(possible_formats(Path(folder, "P1.txt")))
        ['dota', 'ucas-aod', 'yolo-obb']
    """
    suffix = path.suffix.lower()
    if suffix in FORMATS["vector"].suffixes:
        return frozenset({"vector"})
    if suffix == ".xml":
        return _xml_formats(path)
    if suffix in (".json", ".geojson"):
        return _json_formats(read_json(path))
    return _text_formats(path)


def _text_formats(path: Path) -> frozenset[str]:
    if path.name.startswith(TASK1_PREFIX):
        return frozenset({"dota"})
    for line in read_bytes(path, length=_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").splitlines():
        fields = line.split()
        if not fields:
            continue
        # the first line that is not empty decides
        if _HEADER.match(line):
            return frozenset({"dota"})
        is_number = [_NUMBER.fullmatch(field) is not None for field in fields]
        if len(fields) in (9, 10) and all(is_number) and fields[0].isdigit():  # class index, corners, perhaps a score
            return frozenset({"yolo-obb"})
        # the values of UCAS-AOD, perhaps after a class name, which fields[1:] excludes from the check for pixels
        if len(fields) in (NUM_VALUES, NUM_VALUES + 1) and all(is_number[-NUM_VALUES:]) and _are_pixels(fields[1:]):
            return frozenset({"ucas-aod"})
        if len(fields) >= 9 and all(is_number[:8]) and not is_number[8]:  # corners, then a class name
            return frozenset({"dota"})
        return frozenset()
    return frozenset({"dota", "yolo-obb", "ucas-aod"})


def _are_pixels(fields: Sequence[bytes]) -> bool:
    """Return whether any number is above 1, which means that coordinates are pixels, not fractions of the image size.

    This distinguishes UCAS-AOD from YOLO segmentation, where the line of a hexagon has the same number of fields.
    """
    return any(float(field) > 1 for field in fields)


def _xml_formats(path: Path) -> frozenset[str]:
    root = read_xml(path)
    if root.tag == "annotations":
        return frozenset({"cvat"})
    if root.tag == "HRSC_Image":
        return frozenset({"voc"})
    if root.tag != "annotation":
        return frozenset()
    if root.find("objects") is not None:
        return frozenset({"fair1m"})
    objects = root.find_all("object")
    if any(element.find("robndbox", "x_left_top") is not None for element in objects):
        return frozenset({"dior"})
    return frozenset({"voc"} if objects else {"voc", "dior"})


def _json_formats(content: Any) -> frozenset[str]:
    first_entry = content[0] if isinstance(content, list) and content else None
    if is_task(content) or is_task(first_entry):
        return frozenset({"labelstudio"})
    if isinstance(content, list):
        # COCO results are recognized as coco, although its reader cannot read them, because the reader explains why.
        is_coco_results = isinstance(first_entry, dict) and "image_id" in first_entry
        return frozenset({"coco"} if is_coco_results else ())
    if not isinstance(content, dict):
        return frozenset()
    if "shapes" in content:
        return frozenset({"labelme"})
    if content.get("type") == "FeatureCollection":
        return frozenset({"geojson"})
    entries = content.get("annotations")
    if not isinstance(entries, list) or "categories" not in content:
        return frozenset()
    entries = [entry for entry in entries if isinstance(entry, dict)]
    if any("poly" in entry for entry in entries):
        return frozenset({"soda-a"})
    if not isinstance(content.get("images"), list):  # files of SODA-A have no list of images, those of COCO have one
        return frozenset() if entries else frozenset({"soda-a"})
    is_rotated = [isinstance(entry.get("bbox"), list) and len(entry["bbox"]) == 5 for entry in entries]
    has_polygons = any(entry.get("segmentation") for entry in entries)
    if any(is_rotated) and not has_polygons:
        return frozenset({"coco-rotated"})
    if not entries:
        return frozenset({"coco", "coco-rotated", "soda-a"})
    # with polygons and rotated boxes, the file can be read as either format
    return frozenset({"coco", "coco-rotated"} if all(is_rotated) else {"coco"})


def _join_names(formats: frozenset[str]) -> str:
    """Return a string such as ``dota or yolo-obb``, in the order of ``FORMATS``."""
    return " or ".join(name for name in FORMATS if name in formats)
