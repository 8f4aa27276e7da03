"""COCO instances JSON: read, checked, and its boxes as training wants them."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotated_atss.coco.json_file import number_of, read_json
from rotated_atss.errors import UserError

# A box that reaches out of its image by less is the rounding of whoever wrote the file.
REACH_PX = 1.0


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One entry of ``images``; sizes in pixels."""

    id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CocoObject:
    """One annotation whose box can be trained on: ``x1, y1, x2, y2`` in pixels, within the image."""

    id: int
    category_id: int
    box: tuple[float, float, float, float]
    iscrowd: bool


@dataclass
class Instances:
    """A checked instances JSON.

    ``objects`` are by image id and leave out boxes without area; ``annotations`` are all of the file's, as evaluation
    counts them, with ``area`` and ``iscrowd`` filled in where the file has none.
    """

    path: Path
    images: list[CocoImage]
    categories: dict[int, str]
    annotations: list[dict] | None  # None: a test set, nothing is known
    objects: dict[int, list[CocoObject]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)


def read_instances(path: str | Path) -> Instances:
    """Read and check a file of COCO's instances format (https://cocodataset.org/#format-data).

    Boxes without area (a side below a pixel, or wholly outside the image) are left out of ``objects`` and described in
    ``dropped``; those that reach out by a pixel or more are clipped and described in ``clipped``. A file without
    ``annotations`` is that of a test set.

    Raises:
        UserError: No file, not JSON, not this format, ids given twice, or an annotation that names an image or a
            category that is not there.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or "images" not in content or "categories" not in content:
        raise UserError(
            "is not COCO's instances format",
            where=path,
            hint="an object with images, annotations, categories is wanted",
        )
    images = [_image(entry, index, path) for index, entry in enumerate(_list(content, "images", path))]
    _refuse_twice("image id", (image.id for image in images), path)
    instances = Instances(path, images, _categories(_list(content, "categories", path), path), None)
    if "annotations" in content:
        _add_annotations(instances, _list(content, "annotations", path))
    return instances


def _add_annotations(instances: Instances, entries: list) -> None:
    path, sizes = instances.path, {image.id: image for image in instances.images}
    instances.annotations = [_annotation(entry, index, path) for index, entry in enumerate(entries)]
    _refuse_twice("annotation id", (entry["id"] for entry in instances.annotations), path)
    objects: dict[int, list[CocoObject]] = defaultdict(list)
    for entry in instances.annotations:
        for name, known in (("image_id", sizes), ("category_id", instances.categories)):
            if entry[name] not in known:
                raise UserError(f"annotation {entry['id']}: no such {name} {entry[name]}", where=path)
        image = sizes[entry["image_id"]]
        box, reach = clip_box(entry["bbox"], image.width, image.height)
        told = f"annotation {entry['id']} of {image.file_name}"
        if box is None:
            instances.dropped.append(told)
            continue
        if reach >= REACH_PX:
            instances.clipped.append(told)
        objects[image.id].append(CocoObject(entry["id"], entry["category_id"], box, bool(entry["iscrowd"])))
    instances.objects = dict(objects)


def clip_box(bbox: Sequence[float], width: int, height: int) -> tuple[tuple[float, float, float, float] | None, float]:
    """A COCO box ``x, y, w, h`` as corners within the image, and by how many pixels it reached out.

    None instead of a box whose sides are below a pixel, or of which nothing lies in the image.
    """
    x, y, w, h = bbox
    if w < 1 or h < 1:
        return None, 0.0
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    if x2 <= x1 or y2 <= y1:
        return None, 0.0
    return (x1, y1, x2, y2), max(-x, -y, x + w - width, y + h - height, 0.0)


def category_ids(instances: Instances, classes: Sequence[str]) -> list[int]:
    """The category id of every class, in the order of the classes.

    Raises:
        UserError: A class that no category is named after, one named twice, or one text instead of several.
    """
    if isinstance(classes, str) or len(set(classes)) < len(classes):
        hint = "classes=('name',) needs its comma" if isinstance(classes, str) else "name each once"
        raise UserError(f"the config's classes {classes!r:.80} are not distinct names", hint=hint)
    ids = {name: number for number, name in instances.categories.items()}
    missing = [name for name in classes if name not in ids]
    if missing:
        some = f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
        raise UserError(
            f"{len(missing)} of {len(classes)} classes of the config are no category here ({some})",
            where=instances.path,
            hint=f"set metainfo.classes of the dataset; the file has {_shown(ids)}",
        )
    return [ids[name] for name in classes]


def _shown(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def reject_missing_images(instances: Instances, folder: str | Path) -> None:
    """Every image of the file lies below ``folder``.

    Raises:
        UserError: No such folder, or images missing: how many, and the first.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder of images", where=folder, hint=f"{instances.path} names its files")
    names: dict[Path, set[str]] = {}
    missing = []
    for image in instances.images:
        path = folder / image.file_name
        if path.parent not in names:  # one listing a folder instead of a look at every file
            names[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        if path.name not in names[path.parent]:
            missing.append(path)
    if missing:
        raise UserError(
            f"no such image, though {instances.path} names it ({len(missing)} of {len(instances.images)} are missing)",
            where=missing[0],
            hint="check data_prefix.img",
        )


def _list(content: dict, name: str, path: Path) -> list:
    if not isinstance(content[name], list):
        raise UserError(f"'{name}' is not a list", where=path)
    return content[name]


def _image(entry: Any, index: int, path: Path) -> CocoImage:
    where = f"images[{index}]"
    number = number_of(entry, "id", where, path)
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise UserError(f"{where} (id {number}) has no file_name", where=path)
    width, height = (number_of(entry, side, f"{where} ({name})", path) for side in ("width", "height"))
    if width < 1 or height < 1:
        raise UserError(f"{where} ({name}) is {width} x {height} pixels", where=path)
    return CocoImage(number, name, width, height)


def _categories(entries: list, path: Path) -> dict[int, str]:
    numbers = [number_of(entry, "id", f"categories[{index}]", path) for index, entry in enumerate(entries)]
    names = [str(entry.get("name", "")) for entry in entries]
    _refuse_twice("category id", numbers, path)
    _refuse_twice("category name", names, path)
    return dict(zip(numbers, names))


def _annotation(entry: Any, index: int, path: Path) -> dict:
    """The entry with numbers checked, ``area`` and ``iscrowd`` filled in, and no mask."""
    where = f"annotations[{index}]"
    number = number_of(entry, "id", where, path)
    image, category = (number_of(entry, name, f"{where} (id {number})", path) for name in ("image_id", "category_id"))
    box = check_bbox(entry.get("bbox"), f"{where} (id {number})", path)
    area = entry.get("area", box[2] * box[3])
    if not _finite(area):
        raise UserError(f"{where} (id {number}): area {area!r} is no number", where=path)
    return {
        "id": number, "image_id": image, "category_id": category, "bbox": box, "area": area,
        "iscrowd": int(bool(entry.get("iscrowd", 0))),
    }  # fmt: skip


def check_bbox(bbox: Any, where: str, path: Path) -> list[float]:
    """Four finite numbers, or UserError."""
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4 or not all(map(_finite, bbox)):
        raise UserError(f"{where}: bbox {bbox!r} is not four numbers x, y, width, height", where=path)
    return [float(value) for value in bbox]


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _refuse_twice(what: str, values: Iterable, path: Path) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise UserError(f"the {what} {value!r} is given twice", where=path)
        seen.add(value)
