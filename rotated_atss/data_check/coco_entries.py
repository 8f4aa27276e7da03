"""Parse and check single entries of COCO instances JSON, for checking a file and for writing its cleaned copy."""

from __future__ import annotations

import posixpath
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rotated_atss.coco.instances import CLIP_TOLERANCE_PX, CocoImage, parse_image
from rotated_atss.coco.json_file import get_bbox, get_integer, is_finite_number
from rotated_atss.data_check.class_names import find_misspelled
from rotated_atss.data_check.kinds import MAX_ASPECT_RATIO, TINY_SIDE_PX
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError, quote

AREA_TOLERANCE = 1.01
"""Largest accepted ratio of ``area`` to the area of the box. Rasterization can make a mask larger than its box."""


def normalize_file_name(name: str) -> str:
    """Normalize the path of an image file, so that different spellings of one path are equal.

    Example:
        >>> normalize_file_name("./train//a.png")
        'train/a.png'
    """
    return posixpath.normpath(name)


def parse_image_with_sizes(
    entry: Any, index: int, path: Path, sizes: Mapping[str, tuple[int, int]]
) -> CocoImage | None:
    """Parse an entry of ``images``. If it is malformed, parse it again with the size of the image file.

    Args:
        entry: The entry.
        index: Index of the entry.
        path: The COCO file.
        sizes: Width and height in pixels by file name, as read from image files.

    Returns:
        The image. None if a value other than the size is malformed, or if the size is malformed and ``sizes`` does not
        contain the file.

    Example:
        >>> entry = {"id": 1, "file_name": "a.png", "width": "20", "height": 10}
        >>> parse_image_with_sizes(entry, 0, Path("a.json"), {"a.png": (20, 10)}).width
        20
    """
    try:
        return parse_image(entry, index, path)
    except UserError:
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in sizes:
            return None
    width, height = sizes[name]
    try:
        return parse_image({**entry, "width": width, "height": height}, index, path)
    except UserError:
        return None


def printable_name(name: Any) -> str:
    r"""Return the name of a category without unprintable characters; empty if the name is blank or not a string.

    Example:
        >>> printable_name("sh\ud800ip\n"), printable_name(5)
        ('ship', '')
    """
    if not isinstance(name, str) or not name.strip():
        return ""
    if name.isprintable():
        return name
    return "".join(character for character in " ".join(name.split()) if character.isprintable()).strip()


def correct_category(name: str, classes: Sequence[str] | None) -> str:
    """Correct the name of a category if it misspells a class; otherwise return it unchanged.

    Example:
        >>> correct_category("shp", ["ship"]), correct_category("shp", None)
        ('ship', 'shp')
    """
    if classes is None or hyphenate(name) in set(map(hyphenate, classes)):
        return name
    return find_misspelled(name, classes) or name


def parse_annotation(entry: Any, position: str, path: Path) -> tuple[int, int, int, list[float]]:
    """Return the id of an annotation, the ids of its image and its category, and its box ``x, y, width, height``.

    Args:
        entry: The entry.
        position: Position of the entry in the file, for error messages.
        path: The file, for error messages.

    Raises:
        UserError: An id is not an integer, or the box is not four finite numbers.

    Example:
        >>> entry = {"id": 5, "image_id": 1, "category_id": 2, "bbox": [1, 2, 5, 5]}
        >>> parse_annotation(entry, "annotations[0]", Path("a.json"))
        (5, 1, 2, [1.0, 2.0, 5.0, 5.0])
    """
    ids = [get_integer(entry, key, position, path) for key in ("id", "image_id", "category_id")]
    return ids[0], ids[1], ids[2], get_bbox(entry, position, path)


def find_malformed_values(entry: Mapping[str, Any]) -> dict[str, str]:
    """Check ``area`` and ``segmentation`` of an annotation, and return an error message by key of each malformed value.

    A malformed area stops training, and a malformed polygon stops the conversion of labels. An empty list of polygons
    and a mask in run-length encoding are accepted.

    Example:
        >>> find_malformed_values({"area": None, "segmentation": []})
        {'area': "area must be a finite number, got 'None'"}
    """
    messages: dict[str, str] = {}
    area = entry.get("area", 0)
    if not is_finite_number(area):
        messages["area"] = f"area must be a finite number, got {quote(area)}"
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, list):
        malformed = [polygon for polygon in segmentation if not _is_polygon(polygon)]
        if malformed:
            messages["segmentation"] = f"a polygon must be a list x1, y1, x2, y2, ..., got {quote(malformed[0])}"
    elif segmentation is not None and not isinstance(segmentation, dict):
        messages["segmentation"] = f"segmentation must be a list of polygons or an object, got {quote(segmentation)}"
    return messages


def find_object_problems(
    entry: Mapping[str, Any], bbox: Sequence[float], name: str, image: CocoImage, malformed_keys: Container[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield kind and message of each problem of the box, the area and the crowd flag of an annotation.

    Args:
        entry: The annotation. Its ``area``, ``iscrowd`` and ``segmentation`` are checked.
        bbox: Box ``x, y, width, height`` of the annotation in pixels.
        name: Category name of the annotation, for the messages.
        image: Image of the annotation.
        malformed_keys: Keys of malformed values (:func:`find_malformed_values`), which are not checked here.

    Example:
        >>> image = CocoImage(1, "a.png", width=20, height=20)
        >>> list(find_object_problems({"area": -1}, [1, 2, 5, 5], "ship", image))
        [('wrong-area', "the 'ship' of a.png has the area '-1', but its box has the area 25")]
    """
    x, y, w, h = bbox
    subject = f"the {quote(name)} of {image.file_name}"
    image_size, box_size = f"{image.width} x {image.height} px", f"{w:g} x {h:g} px"
    if w <= 0 or h <= 0:
        yield "zero-area", f"{subject} has a box of {box_size}"
        return
    if min(w, h) < TINY_SIDE_PX:
        yield "tiny-object", f"{subject} has a box of {box_size}"
    if max(w, h) > MAX_ASPECT_RATIO * min(w, h):
        yield "aspect-ratio", f"{subject} is {max(w, h) / min(w, h):.0f} times as long as wide"
    excess_px = max(-x, -y, x + w - image.width, y + h - image.height)
    if x >= image.width or y >= image.height or x + w <= 0 or y + h <= 0:
        yield "outside-image", f"{subject} lies outside the image of {image_size}"
    elif excess_px > CLIP_TOLERANCE_PX:  # tolerance of the COCO reader, which clips boxes to the image
        yield "partly-outside", f"{subject} extends {excess_px:.3g} px beyond the image of {image_size}"
    area = entry.get("area", w * h)
    if "area" not in malformed_keys and (area < 0 or area > w * h * AREA_TOLERANCE):
        yield "wrong-area", f"{subject} has the area {quote(area)}, but its box has the area {w * h:g}"
    crowd, segmentation = entry.get("iscrowd", 0), entry.get("segmentation")
    if crowd not in (0, 1):
        yield "wrong-crowd", f"{subject} has iscrowd {quote(crowd)}"
    elif crowd and isinstance(segmentation, list) and "segmentation" not in malformed_keys:
        # COCO stores the mask of a crowd in run-length encoding, which is an object and not a list.
        yield "wrong-crowd", f"{subject} is a crowd with polygons"


def _is_polygon(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) >= 6 and len(value) % 2 == 0
    return is_list and all(map(is_finite_number, value))
