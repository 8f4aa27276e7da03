"""Checks of COCO instances JSON. An invalid entry is reported and skipped, so that all entries are checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rotated_atss.coco.instances import CLIP_TOLERANCE_PX, CocoImage, parse_image
from rotated_atss.coco.json_file import get_bbox, get_integer, is_finite_number, read_json
from rotated_atss.data_check.kinds import MAX_ASPECT_RATIO, TINY_SIDE_PX
from rotated_atss.data_check.label_files import class_problem
from rotated_atss.data_check.problems import Problem
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError, quote

AREA_TOLERANCE = 1.01
"""Largest accepted ratio of area to box: the area of a rasterized mask can exceed the box by rounding."""

_LISTS = ("images", "annotations", "categories")


@dataclass
class CocoReport:
    """The valid entries of an instances JSON, and its problems.

    Attributes:
        path: The file.
        images: Valid entries of ``images`` by id.
        categories: Names of valid categories by id.
        objects: Number of valid annotations per category name.
        problems: Problems of the file and of its entries.
    """

    path: Path
    images: dict[int, CocoImage] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    objects: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def add(self, kind: str, label: str, message: str) -> None:
        """Add a problem of an entry, which ``label`` names, such as ``images[3]``."""
        self.problems.append(Problem(kind, f"{self.path}: {label}", message))


def check_coco_file(path: Path, classes: Sequence[str] | None = None) -> CocoReport:
    """Check an instances JSON, without its image files.

    Args:
        path: The file.
        classes: Expected category names; None accepts any.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.json").write_text('''{"images": [{"id": 1, "file_name": "a.png", "width": 20,
        ...         "height": 20}], "categories": [{"id": 1, "name": "ship"}], "annotations": [
        ...         {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 5, 5]}]}''')
        ...     [problem.kind for problem in check_coco_file(Path(folder, "a.json")).problems]
        ['unknown-id']
    """
    report = CocoReport(path)
    try:
        content = read_json(path)
    except UserError as error:
        report.problems.append(Problem.from_error("unreadable-labels", error))
        return report
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in _LISTS):
        message = "not in COCO's instances format (expected an object with images, annotations and categories)"
        report.problems.append(Problem("unreadable-labels", str(path), message))
        return report
    _check_images(report, content["images"])
    _check_categories(report, content["categories"], classes)
    _check_annotations(report, content["annotations"])
    return report


def _parse(report: CocoReport, label: str, parse: Callable[[], Any]) -> Any:
    """Call a parser of an entry and return its result; if it raises, report a malformed entry and return None."""
    try:
        return parse()
    except UserError as error:
        report.add("malformed-entry", label, error.what.removeprefix(f"{label}: ").removeprefix(f"{label} "))
        return None


def _check_images(report: CocoReport, entries: Sequence[Any]) -> None:
    ids_by_name: dict[str, int] = {}
    for index, entry in enumerate(entries):
        label = f"images[{index}]"
        image = _parse(report, label, partial(parse_image, entry, index, report.path))
        if image is None:
            continue
        if image.id in report.images:
            report.add("duplicate-id", label, f"the image id {image.id} occurs twice")
            continue
        first_id = ids_by_name.setdefault(image.file_name, image.id)
        if first_id != image.id:
            report.add("file-name", label, f"{quote(image.file_name)} is also listed as id {first_id}")
        report.images[image.id] = image


def _check_categories(report: CocoReport, entries: Sequence[Any], classes: Sequence[str] | None) -> None:
    accepted_names = None if classes is None else {hyphenate(name) for name in classes}
    for index, entry in enumerate(entries):
        label = f"categories[{index}]"
        category_id = _parse(report, label, partial(get_integer, entry, "id", label, report.path))
        if category_id is None:
            continue
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            report.add("malformed-entry", label, f"name must be a text, got {quote(name)}")
        elif category_id in report.categories:
            report.add("duplicate-id", label, f"the category id {category_id} occurs twice")
        else:
            if name in report.categories.values():
                report.add("malformed-entry", label, f"the category name {quote(name)} occurs twice")
            if accepted_names is not None and hyphenate(name) not in accepted_names:
                report.problems.append(class_problem(name, classes or (), f"{report.path}: {label}"))
            report.categories[category_id] = name


def _check_annotations(report: CocoReport, entries: Sequence[Any]) -> None:
    ids: set[int] = set()
    places: _Places = {}
    for index, entry in enumerate(entries):
        label = f"annotations[{index}]"
        parsed = _parse(report, label, partial(parse_annotation, entry, label, report.path))
        if parsed is None:
            continue
        annotation_id, image_id, category_id, bbox = parsed
        label = f"{label} (id {annotation_id})"
        if annotation_id in ids:
            report.add("duplicate-id", label, f"the annotation id {annotation_id} occurs twice")
        ids.add(annotation_id)
        for key, value, known in (("image", image_id, report.images), ("category", category_id, report.categories)):
            if value not in known:
                report.add("unknown-id", label, f"no {key} has the id {value}")
        if image_id not in report.images or category_id not in report.categories:
            continue
        name = report.categories[category_id]
        report.objects[name] += 1
        for kind, message in find_object_problems(entry, bbox, name, report.images[image_id]):
            report.add(kind, label, message)
        _check_repeated(report, label, name, (image_id, *bbox), places)


def parse_annotation(entry: Any, label: str, path: Path) -> tuple[int, int, int, list[float]]:
    """Return the id of an annotation, the ids of its image and its category, and its box ``x, y, width, height``.

    Args:
        entry: The entry.
        label: Name of the entry for error messages.
        path: The file, for error messages.

    Raises:
        UserError: An id is no integer, or the box is not four finite numbers.

    Example:
        >>> entry = {"id": 5, "image_id": 1, "category_id": 2, "bbox": [1, 2, 5, 5]}
        >>> parse_annotation(entry, "annotations[0]", Path("a.json"))
        (5, 1, 2, [1.0, 2.0, 5.0, 5.0])
    """
    ids = [get_integer(entry, key, label, path) for key in ("id", "image_id", "category_id")]
    return ids[0], ids[1], ids[2], get_bbox(entry, label, path)


_Places = dict[tuple[float, ...], dict[str, str]]  # label of the first annotation by (image id, box), then by category


def _check_repeated(report: CocoReport, label: str, name: str, place: tuple[float, ...], places: _Places) -> None:
    """Report an annotation whose image and box are those of an earlier one."""
    first_labels = places.setdefault(place, {})
    if name in first_labels:
        what = f"the {quote(name)} has the image and the box of {first_labels[name]}"
        report.add("duplicate-object", label, what)
        return
    if first_labels:
        other_name, other_label = next(iter(first_labels.items()))
        report.add("two-classes", label, f"the {quote(name)} has the box of the {quote(other_name)} at {other_label}")
    first_labels[name] = label


def find_object_problems(
    entry: Mapping[str, Any], bbox: Sequence[float], name: str, image: CocoImage
) -> Iterator[tuple[str, str]]:
    """Yield kind and message of each problem of the box, the area and the crowd flag of an annotation.

    Args:
        entry: The annotation, of which ``area``, ``iscrowd`` and ``segmentation`` are used.
        bbox: Its box ``x, y, width, height`` in pixels.
        name: Its category, for the messages.
        image: Its image.

    Example:
        >>> image = CocoImage(1, "a.png", width=20, height=20)
        >>> list(find_object_problems({"area": -1}, [1, 2, 5, 5], "ship", image))
        [('wrong-area', "the 'ship' of a.png has the area '-1', its box 25")]
    """
    x, y, w, h = bbox
    what = f"the {quote(name)} of {image.file_name}"
    image_size, box_size = f"{image.width} x {image.height} px", f"{w:g} x {h:g} px"
    if w <= 0 or h <= 0:
        yield "zero-area", f"{what} has a box of {box_size}"
        return
    if min(w, h) < TINY_SIDE_PX:
        yield "tiny-object", f"{what} has a box of {box_size}"
    if max(w, h) > MAX_ASPECT_RATIO * min(w, h):
        yield "aspect-ratio", f"{what} is {max(w, h) / min(w, h):.0f} times as long as wide"
    excess_px = max(-x, -y, x + w - image.width, y + h - image.height)
    if x >= image.width or y >= image.height or x + w <= 0 or y + h <= 0:
        yield "outside-image", f"{what} lies outside the image of {image_size}"
    elif excess_px > CLIP_TOLERANCE_PX:
        yield "partly-outside", f"{what} extends {excess_px:.3g} px beyond the image of {image_size}"
    area = entry.get("area", w * h)
    if not is_finite_number(area) or area < 0 or area > w * h * AREA_TOLERANCE:
        yield "wrong-area", f"{what} has the area {quote(area)}, its box {w * h:g}"
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        yield "wrong-crowd", f"{what} has iscrowd {quote(crowd)}"
    elif crowd and isinstance(entry.get("segmentation"), list):
        yield "wrong-crowd", f"{what} is a crowd with polygons"
