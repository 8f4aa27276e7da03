"""Read and validate COCO instances JSON."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotated_atss.coco.json_file import get_bbox, get_integer, is_finite_number, read_json
from rotated_atss.errors import UserError, is_or_are, quote

CLIP_TOLERANCE_PX = 1.0
"""Clipping a box by less than this is not reported, because annotation tools round coordinates."""


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One entry of ``images``, with its size in pixels."""

    id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CocoObject:
    """One annotation with a valid box.

    Attributes:
        id: Annotation id.
        category_id: Id of the category.
        box: ``x1, y1, x2, y2`` in pixels, clipped to the image.
        iscrowd: Whether the box encloses a group of objects.
    """

    id: int
    category_id: int
    box: tuple[float, float, float, float]
    iscrowd: bool


@dataclass
class Instances:
    """A validated instances JSON.

    Attributes:
        path: Path of the file.
        images: Entries of ``images``.
        categories: Category names by id.
        annotations: All annotations, for evaluation: dictionaries with ``id``, ``image_id``, ``category_id``, ``bbox``
            (x, y, width, height in pixels), ``area`` and ``iscrowd``. None for a test set without annotations.
        objects: Annotations with a valid box, for training, by image id.
        dropped: Descriptions of the annotations without a valid box.
        clipped: Descriptions of the annotations whose box extended beyond the image.
    """

    path: Path
    images: list[CocoImage]
    categories: dict[int, str]
    annotations: list[dict] | None
    objects: dict[int, list[CocoObject]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)

    @property
    def image_ids(self) -> list[int]:
        """Ids of all images."""
        return [image.id for image in self.images]


def read_instances(path: str | Path) -> Instances:
    """Read and validate a file in COCO's instances format (https://cocodataset.org/#format-data).

    Boxes with a side below one pixel and boxes outside their image are left out of ``objects`` and listed in
    ``dropped``. Boxes that extend beyond their image by more than :data:`CLIP_TOLERANCE_PX` are listed in ``clipped``.
    A file without ``annotations`` is assumed to describe a test set.

    Raises:
        UserError: The file is missing, not JSON or not in this format, an id occurs twice, or an annotation refers to
            an unknown image or category.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "instances.json")
        ...     _ = path.write_text('{"images": [], "categories": [{"id": 1, "name": "ship"}], "annotations": []}')
        ...     read_instances(path).categories
        {1: 'ship'}
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or "images" not in content or "categories" not in content:
        hint = "expected an object with images, annotations and categories"
        raise UserError("not in COCO's instances format", where=path, hint=hint)
    images = [parse_image(entry, index, path) for index, entry in enumerate(_get_list(content, "images", path))]
    _reject_duplicates("image id", (image.id for image in images), path)
    categories = _parse_categories(_get_list(content, "categories", path), path)
    instances = Instances(path, images, categories, annotations=None)
    if "annotations" in content:
        _add_annotations(instances, _get_list(content, "annotations", path))
    return instances


def parse_image(entry: Any, index: int, path: Path) -> CocoImage:
    """Parse and validate an entry of ``images``.

    Args:
        entry: The entry.
        index: Index of the entry, for error messages.
        path: Path of the file, for error messages.

    Raises:
        UserError: The id, the size or the file name is invalid, or the name is not a path below the image folder.

    Example:
        >>> parse_image({"id": 1, "file_name": "a.png", "width": 20, "height": 10}, 0, Path("a.json")).width
        20
    """
    label = f"images[{index}]"
    image_id = get_integer(entry, "id", label, path)
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise UserError(f"{label} (id {image_id}) has no file_name", where=path)
    parts = name.replace("\\", "/").split("/")
    # an absolute path, a path that leaves the folder, a Windows drive, or control characters
    if not parts[0] or ".." in parts or re.match(r"[A-Za-z]:", name) or not name.isprintable():
        what = f"{label} (id {image_id}): file_name must be a path below the image folder, got {quote(name)}"
        raise UserError(what, where=path)
    width, height = (get_integer(entry, key, f"{label} ({name})", path) for key in ("width", "height"))
    if width < 1 or height < 1:
        raise UserError(f"{label} ({name}): size must be positive, got {width} x {height} pixels", where=path)
    return CocoImage(image_id, name, width, height)


def clip_box(bbox: Sequence[float], width: int, height: int) -> tuple[tuple[float, float, float, float] | None, float]:
    """Clip a COCO box to its image.

    Args:
        bbox: ``x, y, width, height`` in pixels.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        box: Corners ``x1, y1, x2, y2`` within the image; None if a side is below one pixel or the box is outside the
            image.
        excess: Largest distance in pixels by which the box extends beyond the image; 0 if ``box`` is None.

    Example:
        >>> clip_box([-3, 10, 20, 30], width=100, height=50)
        ((0.0, 10, 17, 40), 3)
    """
    x, y, w, h = bbox
    if w < 1 or h < 1:
        return None, 0.0
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    if x2 <= x1 or y2 <= y1:
        return None, 0.0
    return (x1, y1, x2, y2), max(-x, -y, x + w - width, y + h - height, 0.0)


def category_ids(instances: Instances, classes: Sequence[str]) -> list[int]:
    """Return the category id of each class.

    Raises:
        UserError: A class is not a category of the file, or ``classes`` repeats a name or is a single string.

    Example:
        >>> category_ids(Instances(Path("a.json"), [], {18: "dog", 1: "person"}, None), ("person", "dog"))
        [1, 18]
    """
    if isinstance(classes, str) or len(set(classes)) < len(classes):
        hint = "write a single class as classes=('name',)" if isinstance(classes, str) else "list each class once"
        raise UserError(f"the config's classes {classes!r:.80} are not distinct names", hint=hint)
    id_by_name = {name: category_id for category_id, name in instances.categories.items()}
    missing = [name for name in classes if name not in id_by_name]
    if missing:
        ellipsis = ", ..." if len(missing) > 3 else ""
        names = ", ".join(missing[:3]) + ellipsis
        verb = is_or_are(len(missing))
        raise UserError(
            f"{len(missing)} of {len(classes)} classes of the config {verb} not in this file ({names})",
            where=instances.path,
            hint=f"set metainfo.classes of the dataset; the file has {_join_names(id_by_name)}",
        )
    return [id_by_name[name] for name in classes]


def reject_missing_images(instances: Instances, folder: str | Path) -> None:
    """Check that all images of the file are in ``folder``.

    Raises:
        UserError: The folder or some of the images are missing.

    Example:
        >>> import tempfile
        >>> instances = Instances(Path("a.json"), [CocoImage(1, "a.png", 20, 20)], {1: "ship"}, None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     reject_missing_images(instances, folder)
        Traceback (most recent call last):
        rotated_atss.errors.UserError: ...a.png: no such image, but a.json lists it (1 of 1 is missing) ...
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder of images", where=folder, hint=f"{instances.path} lists images of this folder")
    # Each folder is read once, because this is faster than a test of each file.
    names_by_folder: dict[Path, set[str]] = {}
    missing = []
    for image in instances.images:
        path = folder / image.file_name
        if path.parent not in names_by_folder:
            names_by_folder[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        if path.name not in names_by_folder[path.parent]:
            missing.append(path)
    if missing:
        counts = f"{len(missing)} of {len(instances.images)} {is_or_are(len(missing))} missing"
        raise UserError(
            f"no such image, but {instances.path} lists it ({counts})",
            where=missing[0],
            hint="check data_prefix.img",
        )


def _add_annotations(instances: Instances, entries: list) -> None:
    """Parse the entries of ``annotations``, and fill in the attributes of ``instances`` that depend on them."""
    path, images = instances.path, {image.id: image for image in instances.images}
    instances.annotations = [_parse_annotation(entry, index, path) for index, entry in enumerate(entries)]
    _reject_duplicates("annotation id", (entry["id"] for entry in instances.annotations), path)
    objects: dict[int, list[CocoObject]] = defaultdict(list)
    for entry in instances.annotations:
        for key, known_ids in (("image_id", images), ("category_id", instances.categories)):
            if entry[key] not in known_ids:
                raise UserError(f"annotation {entry['id']}: no such {key} {entry[key]}", where=path)
        image = images[entry["image_id"]]
        box, excess = clip_box(entry["bbox"], image.width, image.height)
        description = f"annotation {entry['id']} of {image.file_name}"
        if box is None:
            instances.dropped.append(description)
            continue
        if excess > CLIP_TOLERANCE_PX:
            instances.clipped.append(description)
        objects[image.id].append(CocoObject(entry["id"], entry["category_id"], box, bool(entry["iscrowd"])))
    instances.objects = dict(objects)


def _get_list(content: dict, key: str, path: Path) -> list:
    if not isinstance(content[key], list):
        raise UserError(f"'{key}' must be a list", where=path)
    return content[key]


def _parse_categories(entries: list, path: Path) -> dict[int, str]:
    ids = [get_integer(entry, "id", f"categories[{index}]", path) for index, entry in enumerate(entries)]
    names = [str(entry.get("name", "")) for entry in entries]
    unprintable = next((name for name in names if not name.isprintable()), None)
    if unprintable is not None:
        raise UserError(f"a category name must be printable, got {quote(unprintable)}", where=path)
    _reject_duplicates("category id", ids, path)
    _reject_duplicates("category name", names, path)
    return dict(zip(ids, names))


def _parse_annotation(entry: Any, index: int, path: Path) -> dict:
    """Validate an annotation, and return it without its mask; ``area`` defaults to the box's area, ``iscrowd`` to 0."""
    label = f"annotations[{index}]"
    annotation_id = get_integer(entry, "id", label, path)
    label = f"{label} (id {annotation_id})"
    image_id, category_id = (get_integer(entry, key, label, path) for key in ("image_id", "category_id"))
    bbox = get_bbox(entry, label, path)
    area = entry.get("area", bbox[2] * bbox[3])
    if not is_finite_number(area):
        raise UserError(f"{label}: area must be a number, got {area!r}", where=path)
    return {
        "id": annotation_id, "image_id": image_id, "category_id": category_id, "bbox": bbox, "area": area,
        "iscrowd": int(bool(entry.get("iscrowd", 0))),
    }  # fmt: skip


def _reject_duplicates(kind: str, values: Iterable, path: Path) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise UserError(f"duplicate {kind} {value!r}", where=path)
        seen.add(value)


def _join_names(names: Iterable[str], limit: int = 8) -> str:
    """Join names for a message. Of more than ``limit`` names, join the first ``limit`` and append the total number."""
    names = list(names)
    text = ", ".join(names[:limit])
    return text if len(names) <= limit else f"{text}, ... ({len(names)} in all)"
