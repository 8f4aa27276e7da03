"""Checks of COCO instances JSON. An invalid entry is reported and skipped, so that all entries are checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rotated_atss.coco.instances import CocoImage, parse_image
from rotated_atss.coco.json_file import get_integer, read_json
from rotated_atss.data_check.coco_entries import (
    correct_category,
    find_malformed_values,
    find_object_problems,
    normalize_file_name,
    parse_annotation,
    parse_image_of_size,
    printable_name,
)
from rotated_atss.data_check.label_files import class_problem
from rotated_atss.data_check.problems import Problem
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError, quote
from rotated_atss.io.images import image_size

_LISTS = ("images", "annotations", "categories")


@dataclass
class CocoReport:
    """The valid entries of an instances JSON, and its problems.

    Attributes:
        path: The file.
        images: Valid entries of ``images`` by id.
        categories: Names of valid categories by id.
        objects: Number of valid annotations per category name.
        file_ids: Id of the first valid entry of each image file, by normalized name.
        sizes: Actual width and height in pixels, by file name, of images whose entry states a malformed size.
        malformed_ids: ``image`` or ``category`` and the id of each malformed entry that has a valid id.
        file_names: Normalized file names of all entries of ``images``, also of invalid ones.
        problems: Problems of the file and of its entries.
    """

    path: Path
    images: dict[int, CocoImage] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    objects: Counter[str] = field(default_factory=Counter)
    file_ids: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    malformed_ids: set[tuple[str, int]] = field(default_factory=set)
    file_names: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def add(self, kind: str, label: str, message: str) -> None:
        """Add a problem of an entry, which ``label`` names, such as ``images[3]``."""
        self.problems.append(Problem(kind, f"{self.path}: {label}", message))


def check_coco_file(path: Path, classes: Sequence[str] | None = None, images: Path | None = None) -> CocoReport:
    """Check an instances JSON. Of its image files only the sizes are read that entries do not state correctly.

    Args:
        path: The file.
        classes: Expected category names; None accepts any.
        images: Folder of the images; None reads none.

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
    _check_images(report, content["images"], images)
    _check_categories(report, content["categories"], classes)
    _check_annotations(report, content["annotations"], classes)
    return report


def _parse(report: CocoReport, label: str, parse: Callable[[], Any]) -> Any:
    """Call a parser of an entry and return its result; if it raises, report a malformed entry and return None."""
    try:
        return parse()
    except UserError as error:  # its message repeats the label
        report.add("malformed-entry", label, error.what.removeprefix(f"{label}: ").removeprefix(f"{label} "))
        return None


def _check_images(report: CocoReport, entries: Sequence[Any], folder: Path | None) -> None:
    for index, entry in enumerate(entries):
        label = f"images[{index}]"
        if isinstance(entry, dict) and isinstance(entry.get("file_name"), str):
            report.file_names.add(normalize_file_name(entry["file_name"]))
        image = _parse(report, label, partial(parse_image, entry, index, report.path))
        if image is None:
            image = _read_size(report, entry, index, folder)
        if image is None:
            _record_malformed(report, "image", entry)
            continue
        if image.id in report.images:
            report.add("duplicate-id", label, f"the image id {image.id} occurs twice")
            continue
        first_id = report.file_ids.setdefault(normalize_file_name(image.file_name), image.id)
        if first_id != image.id:
            report.add("file-name", label, f"{quote(image.file_name)} is also listed as id {first_id}")
        report.images[image.id] = image


def _read_size(report: CocoReport, entry: Any, index: int, folder: Path | None) -> CocoImage | None:
    """Return the image of an entry whose size alone is malformed, with the size of its file; None if there is none."""
    name = entry.get("file_name") if isinstance(entry, dict) else None
    if folder is None or not isinstance(name, str):
        return None
    # with any valid size, parsing shows whether the rest of the entry is valid; otherwise no file is read
    if parse_image_of_size({**entry, "width": 1, "height": 1}, index, report.path, {}) is None:
        return None
    try:
        report.sizes[name] = image_size(folder / name)
    except UserError:
        return None
    return parse_image_of_size(entry, index, report.path, report.sizes)


def _record_malformed(report: CocoReport, kind: str, entry: Any) -> None:
    """Record the id of a malformed entry, so that what refers to it is not a problem of its own."""
    with suppress(UserError):
        report.malformed_ids.add((kind, get_integer(entry, "id", "", report.path)))


def _check_categories(report: CocoReport, entries: Sequence[Any], classes: Sequence[str] | None) -> None:
    accepted_names = None if classes is None else {hyphenate(name) for name in classes}
    for index, entry in enumerate(entries):
        label = f"categories[{index}]"
        category_id = _parse(report, label, partial(get_integer, entry, "id", label, report.path))
        if category_id is None:
            continue
        name = printable_name(entry.get("name"))
        if category_id in report.categories:
            report.add("duplicate-id", label, f"the category id {category_id} occurs twice")
            continue
        if name != entry.get("name") or not name:
            report.add("malformed-entry", label, f"name must be a printable text, got {quote(entry.get('name'))}")
        if not name:
            _record_malformed(report, "category", entry)
            continue
        if name in report.categories.values():
            report.add("malformed-entry", label, f"the category name {quote(name)} occurs twice")
        if accepted_names is not None and hyphenate(name) not in accepted_names:
            report.problems.append(class_problem(name, classes or (), f"{report.path}: {label}"))
        report.categories[category_id] = name


def _check_annotations(report: CocoReport, entries: Sequence[Any], classes: Sequence[str] | None) -> None:
    ids: set[int] = set()
    places: _Places = {}
    # a cleaned copy joins images of one file and categories of one corrected name, so that equal objects are repeated
    names = {number: correct_category(name, classes) for number, name in report.categories.items()}
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
        malformed_values = find_malformed_values(entry)
        for message in malformed_values.values():
            report.add("malformed-entry", label, message)
        for key, value, known in (("image", image_id, report.images), ("category", category_id, report.categories)):
            if value not in known and (key, value) not in report.malformed_ids:
                report.add("unknown-id", label, f"no {key} has the id {value}")
        if image_id not in report.images or category_id not in report.categories:
            continue
        name = report.categories[category_id]
        report.objects[name] += 1
        # several entries can name one file: the first stands for all
        image = report.images[report.file_ids[normalize_file_name(report.images[image_id].file_name)]]
        for kind, message in find_object_problems(entry, bbox, name, image, malformed_values):
            report.add(kind, label, message)
        _check_repeated(report, label, names[category_id], (image.id, *bbox), places)


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
