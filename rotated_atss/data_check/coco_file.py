"""Check COCO instances JSON. An invalid entry is reported and skipped, so that all entries are checked."""

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
    parse_image_with_sizes,
    printable_name,
)
from rotated_atss.data_check.label_files import class_problem
from rotated_atss.data_check.problems import Problem
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError, quote
from rotated_atss.io.images import image_size

_LISTS = ("images", "annotations", "categories")
# (image id, *bbox) -> category name -> position of the first annotation with this image, box and category, such as
# "annotations[3]"
_FirstPositions = dict[tuple[float, ...], dict[str, str]]


@dataclass
class CocoReport:
    """Valid entries and problems of an instances JSON.

    Attributes:
        path: The file.
        images: Valid entries of ``images`` by id.
        categories: Names of valid categories by id.
        object_counts: Number of valid annotations per category name.
        file_ids: Image id of the first valid entry of each image file, by normalized file name.
        sizes: For entries with a malformed size: width and height of the image file in pixels, by file name as in the
            entry.
        ids_of_malformed: ``("image", id)`` or ``("category", id)`` of each malformed entry that has a valid id.
        file_names: Normalized file names of all entries of ``images``, including invalid ones.
        problems: Problems of the file and of its entries.
    """

    path: Path
    images: dict[int, CocoImage] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    object_counts: Counter[str] = field(default_factory=Counter)
    file_ids: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    ids_of_malformed: set[tuple[str, int]] = field(default_factory=set)
    file_names: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def add_problem(self, kind: str, position: str, message: str) -> None:
        """Add a problem of the entry ``position``, such as ``images[3]``."""
        self.problems.append(Problem(kind, f"{self.path}: {position}", message))


def check_coco_file(path: Path, classes: Sequence[str] | None = None, images: Path | None = None) -> CocoReport:
    """Check an instances JSON.

    Args:
        path: The file.
        classes: Expected category names; None accepts any.
        images: Image folder. If an entry has no valid size, the size is read from its image file. None reads no images.

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


def _parse_or_report(report: CocoReport, position: str, parse: Callable[[], Any]) -> Any:
    """Call a parser of an entry and return its result; if it raises, report a malformed entry and return None."""
    try:
        return parse()
    except UserError as error:
        # The message starts with the position, which add_problem adds, too.
        message = error.what.removeprefix(f"{position}: ").removeprefix(f"{position} ")
        report.add_problem("malformed-entry", position, message)
        return None


def _check_images(report: CocoReport, entries: Sequence[Any], folder: Path | None) -> None:
    for index, entry in enumerate(entries):
        position = f"images[{index}]"
        if isinstance(entry, dict) and isinstance(entry.get("file_name"), str):
            report.file_names.add(normalize_file_name(entry["file_name"]))
        image = _parse_or_report(report, position, partial(parse_image, entry, index, report.path))
        if image is None:
            image = _parse_with_actual_image_size(report, entry, index, folder)
        if image is None:
            _record_malformed(report, "image", entry)
            continue
        if image.id in report.images:
            report.add_problem("duplicate-id", position, f"the image id {image.id} occurs twice")
            continue
        first_id = report.file_ids.setdefault(normalize_file_name(image.file_name), image.id)
        if first_id != image.id:
            report.add_problem("file-name", position, f"{quote(image.file_name)} is also listed as id {first_id}")
        report.images[image.id] = image


def _parse_with_actual_image_size(report: CocoReport, entry: Any, index: int, folder: Path | None) -> CocoImage | None:
    """Parse an entry with the size of the image file instead of its malformed size, and record this size.

    Returns:
        The image. None if a value other than the size is malformed, or if the image file cannot be read.
    """
    name = entry.get("file_name") if isinstance(entry, dict) else None
    if folder is None or not isinstance(name, str):
        return None
    # The entry is first parsed with a placeholder size, because the image is not needed if another value is malformed.
    if parse_image_with_sizes({**entry, "width": 1, "height": 1}, index, report.path, {}) is None:
        return None
    try:
        report.sizes[name] = image_size(folder / name)
    except UserError:
        return None
    return parse_image_with_sizes(entry, index, report.path, report.sizes)


def _record_malformed(report: CocoReport, kind: str, entry: Any) -> None:
    """Record the id of a malformed entry, so that annotations that refer to it are not reported as well."""
    with suppress(UserError):
        report.ids_of_malformed.add((kind, get_integer(entry, "id", "", report.path)))


def _check_categories(report: CocoReport, entries: Sequence[Any], classes: Sequence[str] | None) -> None:
    accepted_names = None if classes is None else {hyphenate(name) for name in classes}
    for index, entry in enumerate(entries):
        position = f"categories[{index}]"
        category_id = _parse_or_report(report, position, partial(get_integer, entry, "id", position, report.path))
        if category_id is None:
            continue
        name = printable_name(entry.get("name"))  # without unprintable characters; empty if no usable name is left
        if category_id in report.categories:
            report.add_problem("duplicate-id", position, f"the category id {category_id} occurs twice")
            continue
        if name != entry.get("name") or not name:
            report.add_problem(
                "malformed-entry", position, f"name must be a printable string, got {quote(entry.get('name'))}"
            )
        if not name:
            _record_malformed(report, "category", entry)
            continue
        if name in report.categories.values():
            report.add_problem("malformed-entry", position, f"the category name {quote(name)} occurs twice")
        if accepted_names is not None and hyphenate(name) not in accepted_names:
            report.problems.append(class_problem(name, classes or (), f"{report.path}: {position}"))
        report.categories[category_id] = name


def _check_annotations(report: CocoReport, entries: Sequence[Any], classes: Sequence[str] | None) -> None:
    ids: set[int] = set()
    first_positions: _FirstPositions = {}
    # Duplicates are found by corrected category names, because a cleaned copy merges categories whose corrected names
    # are the same.
    corrected_names = {category_id: correct_category(name, classes) for category_id, name in report.categories.items()}
    for index, entry in enumerate(entries):
        position = f"annotations[{index}]"
        parsed = _parse_or_report(report, position, partial(parse_annotation, entry, position, report.path))
        if parsed is None:
            continue
        annotation_id, image_id, category_id, bbox = parsed
        position = f"{position} (id {annotation_id})"
        if annotation_id in ids:
            report.add_problem("duplicate-id", position, f"the annotation id {annotation_id} occurs twice")
        ids.add(annotation_id)
        malformed_values = find_malformed_values(entry)
        for message in malformed_values.values():
            report.add_problem("malformed-entry", position, message)
        for noun, referenced_id, entries_by_id in (
            ("image", image_id, report.images),
            ("category", category_id, report.categories),
        ):
            if referenced_id not in entries_by_id and (noun, referenced_id) not in report.ids_of_malformed:
                report.add_problem("unknown-id", position, f"no {noun} has the id {referenced_id}")
        if image_id not in report.images or category_id not in report.categories:
            continue
        name = report.categories[category_id]
        report.object_counts[name] += 1
        # of several image entries of the same file, the first one is used, as in a cleaned copy
        file_name = normalize_file_name(report.images[image_id].file_name)
        image = report.images[report.file_ids[file_name]]
        for kind, message in find_object_problems(entry, bbox, name, image, malformed_values):
            report.add_problem(kind, position, message)
        positions_by_name = first_positions.setdefault((image.id, *bbox), {})
        _check_repeated(report, position, corrected_names[category_id], positions_by_name)


def _check_repeated(report: CocoReport, position: str, name: str, positions_by_name: dict[str, str]) -> None:
    """Report an annotation if an earlier one has the same image and box.

    Args:
        report: Report to which problems are added.
        position: Position of the annotation.
        name: Category name of the annotation.
        positions_by_name: Position of the first annotation with this image and box, by category name. If there is none
            with this name, ``position`` is added.
    """
    if name in positions_by_name:
        what = f"the {quote(name)} has the same image and box as {positions_by_name[name]}"
        report.add_problem("duplicate-object", position, what)
        return
    if positions_by_name:
        other_name, other_position = next(iter(positions_by_name.items()))
        report.add_problem(
            "two-classes",
            position,
            f"the {quote(name)} has the same box as the {quote(other_name)} at {other_position}",
        )
    positions_by_name[name] = position
