"""Write the cleaned copy of a dataset part whose labels are COCO JSON. Unknown keys are kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.coco.instances import CocoImage
from rotated_atss.coco.json_file import get_integer, read_json
from rotated_atss.data_check.coco_entries import (
    AREA_TOLERANCE,
    correct_category,
    find_malformed_values,
    find_object_problems,
    normalize_file_name,
    parse_annotation,
    parse_image_with_sizes,
    printable_name,
)
from rotated_atss.data_check.image_files import place_image
from rotated_atss.data_check.parts import CheckedPart
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes, write_bytes

_REMOVED_KINDS = {"zero-area", "outside-image"}  # annotations with a problem of these kinds are removed


def write_coco_part(
    part: CheckedPart, target: Path, classes: Sequence[str] | None, *, copy_images: bool
) -> Counter[str]:
    """Write ``images/`` and ``annotations/<name of the COCO file>``. If nothing is fixed, the file is copied unchanged.

    Args:
        part: The checked part.
        target: Folder to write.
        classes: Class names to which misspelled category names are corrected; None corrects none.
        copy_images: Copy the images instead of linking to them.

    Returns:
        Numbers of ``images`` and ``objects``.

    Raises:
        UserError: The COCO file cannot be read, a file cannot be written, or two images get the same name.
    """
    assert part.coco is not None
    path = part.coco.path
    unreadable = next((problem for problem in part.coco.problems if problem.kind == "unreadable-labels"), None)
    if unreadable is not None:
        raise UserError(unreadable.message, where=unreadable.where, hint="no cleaned copy can be written")
    content = read_json(path)
    old_names = _file_names(content, path, part.coco.sizes)
    reports = {name: part.images.get(part.source.images / name) for name in old_names}
    readable = {name: report for name, report in reports.items() if report is not None and report.size is not None}
    new_names = {name: _with_suffix(name, report.suffix) for name, report in readable.items()}
    cleaned = clean_instances(content, path, new_names, classes, part.coco.sizes)
    (target / "images").mkdir(parents=True)
    (target / "annotations").mkdir()
    cleaned_names = {image["file_name"] for image in cleaned["images"]}
    for name, report in readable.items():
        if new_names[name] in cleaned_names:
            place_image(report, target / "images" / new_names[name], copy=copy_images)
    data = read_bytes(path) if cleaned == content else json.dumps(cleaned).encode()
    write_bytes(target / "annotations" / path.name, data)
    return Counter(images=len(cleaned["images"]), objects=len(cleaned["annotations"]))


def clean_instances(
    content: Mapping[str, Any],
    path: Path,
    file_names: Mapping[str, str],
    classes: Sequence[str] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """Return the content of an instances JSON with its problems fixed.

    A problem is fixed if its kind has a ``coco_fix`` (:data:`rotated_atss.data_check.kinds.KINDS`).

    Entries that are not removed keep all their keys, including unknown ones, except a malformed ``segmentation``.
    Crowds are treated like other annotations, and ``iscrowd`` is never changed.

    Args:
        content: Content of the file, with lists of images, annotations and categories.
        path: Path of the file, for error messages.
        file_names: New file name by old file name of the readable images. Other images are removed with their
            annotations.
        classes: Class names to which misspelled category names are corrected; None corrects none.
        sizes: Width and height in pixels by file name, as read from image files, for entries with a malformed size.

    Example:
        >>> content = {
        ...     "info": {"year": 2026}, "categories": [{"id": 1, "name": "ship"}],
        ...     "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 20}],
        ...     "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": [1, 2, 5, 5], "score": 3}] * 2,
        ... }
        >>> cleaned = clean_instances(content, Path("a.json"), {"a.png": "a.png"})
        >>> len(cleaned["annotations"]), cleaned["annotations"][0]["score"], cleaned["info"]
        (1, 3, {'year': 2026})
    """
    cleaned_images, image_ids = _clean_images(content["images"], path, file_names, sizes or {})
    categories, category_ids = _clean_categories(content["categories"], path, classes)
    image_entries = [entry for entry, _ in cleaned_images]
    images_by_id = {image.id: image for _, image in cleaned_images}
    annotations = list(_clean_annotations(content["annotations"], path, images_by_id, image_ids, category_ids))
    return {**content, "images": image_entries, "categories": categories, "annotations": annotations}


def _file_names(content: Mapping[str, Any], path: Path, sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return the distinct file names of the valid entries of ``images``."""
    images = [parse_image_with_sizes(entry, index, path, sizes) for index, entry in enumerate(content["images"])]
    return list(dict.fromkeys(image.file_name for image in images if image is not None))


def _with_suffix(name: str, suffix: str) -> str:
    return name.removesuffix(Path(name).suffix) + suffix


def _clean_images(
    entries: Sequence[Any], path: Path, file_names: Mapping[str, str], sizes: Mapping[str, tuple[int, int]]
) -> tuple[list[tuple[dict[str, Any], CocoImage]], dict[int, int]]:
    """Return the cleaned entries with their parsed images, and the new image id by old image id.

    Entries of the same file are merged: their ids are mapped to the id of the first entry.
    """
    cleaned: list[tuple[dict[str, Any], CocoImage]] = []
    seen_ids: set[int] = set()
    new_ids: dict[int, int] = {}
    first_id_by_file: dict[str, int] = {}  # the keys are normalized file names
    for index, entry in enumerate(entries):
        image = parse_image_with_sizes(entry, index, path, sizes)
        if image is None or image.id in seen_ids:
            continue
        seen_ids.add(image.id)
        if image.file_name not in file_names:
            continue
        new_ids[image.id] = first_id_by_file.setdefault(normalize_file_name(image.file_name), image.id)
        if new_ids[image.id] == image.id:
            changes = {"file_name": file_names[image.file_name], "width": image.width, "height": image.height}
            cleaned.append((_with_values(entry, **changes), image))
    return cleaned, new_ids


def _clean_categories(
    entries: Sequence[Any], path: Path, classes: Sequence[str] | None
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Return the cleaned entries, and the new category id by old category id.

    Categories of the same corrected name are merged: their ids are mapped to the id of the first entry.
    """
    cleaned: list[dict[str, Any]] = []
    seen_ids: set[int] = set()
    new_ids: dict[int, int] = {}
    first_id_by_name: dict[str, int] = {}
    for index, entry in enumerate(entries):
        try:
            category_id = get_integer(entry, "id", f"categories[{index}]", path)
        except UserError:
            continue
        name = printable_name(entry.get("name"))
        if not name or category_id in seen_ids:
            continue
        seen_ids.add(category_id)
        corrected = correct_category(name, classes)
        new_ids[category_id] = first_id_by_name.setdefault(corrected, category_id)
        if new_ids[category_id] == category_id:
            cleaned.append(_with_values(entry, name=corrected))
    return cleaned, new_ids


def _clean_annotations(
    entries: Sequence[Any],
    path: Path,
    images: Mapping[int, CocoImage],
    image_ids: Mapping[int, int],
    category_ids: Mapping[int, int],
) -> Iterator[dict[str, Any]]:
    """Yield the cleaned entries, with new ids of images and categories.

    Args:
        entries: All entries.
        path: The file, for error messages.
        images: Images of the cleaned copy by id.
        image_ids: New image id by old image id.
        category_ids: New category id by old category id.
    """
    parsed = []
    for index, entry in enumerate(entries):
        with suppress(UserError):
            parsed.append((entry, parse_annotation(entry, f"annotations[{index}]", path)))
    given_ids = {annotation_id for _, (annotation_id, *_) in parsed}
    free_ids = (number for number in count(1) if number not in given_ids)  # for annotations whose id is repeated
    cleaned_ids: set[int] = set()
    seen_objects: set[tuple[float, ...]] = set()  # (image id, category id, *bbox)
    for entry, (annotation_id, image_id, category_id, bbox) in parsed:
        if image_id not in image_ids or category_id not in category_ids:
            continue
        image = images[image_ids[image_id]]
        malformed_values = find_malformed_values(entry)
        kinds = {kind for kind, _ in find_object_problems(entry, bbox, "", image, malformed_values)}
        object_key = (image.id, category_ids[category_id], *bbox)
        if kinds & _REMOVED_KINDS or object_key in seen_objects:
            continue
        seen_objects.add(object_key)
        changes: dict[str, Any] = {"image_id": image.id, "category_id": category_ids[category_id]}
        if annotation_id in cleaned_ids:
            changes["id"] = next(free_ids)
        cleaned_ids.add(annotation_id)
        if "wrong-area" in kinds or "area" in malformed_values:
            polygons = None if "segmentation" in malformed_values else entry.get("segmentation")
            changes["area"] = _object_area(polygons, bbox)
        cleaned = dict(_with_values(entry, **changes))  # a copy, since _with_values can return the entry itself
        if "segmentation" in malformed_values:
            del cleaned["segmentation"]
        yield cleaned


def _object_area(polygons: Any, bbox: Sequence[float]) -> float:
    """Return the total area of a list of polygons in square pixels.

    The area of the box is returned instead if there are no polygons, or if the area of the polygons is 0 or more than
    :data:`AREA_TOLERANCE` times the area of the box.
    """
    box_area = bbox[2] * bbox[3]
    if not isinstance(polygons, list) or not polygons:
        return box_area
    area = sum(_polygon_area(np.array(polygon, dtype=np.float64).reshape(-1, 2)) for polygon in polygons)
    return area if 0 < area <= box_area * AREA_TOLERANCE else box_area


def _polygon_area(corners: np.ndarray) -> float:
    """Return the area of a polygon with corners (N, 2)."""
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _with_values(entry: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Return a copy of an entry with the given values, or the entry itself if it already has them."""
    has_values = all(_is_same(entry.get(key), value) for key, value in values.items())
    return entry if has_values else {**entry, **values}


def _is_same(value: Any, other: Any) -> bool:
    # In Python, True equals 1. An id must not be True, so a Boolean is never the same as a number.
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
