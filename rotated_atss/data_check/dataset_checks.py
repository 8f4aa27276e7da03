"""Compare the files of a dataset to find problems in pairs of image and labels, and between parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from rotated_atss.data_check.class_names import find_similar
from rotated_atss.data_check.image_files import ImageReport
from rotated_atss.data_check.label_files import correct_classes
from rotated_atss.data_check.leakage import find_repeated_images
from rotated_atss.data_check.objects import check_objects
from rotated_atss.data_check.parts import CheckedPart, image_name, report_shared_names, report_unpaired
from rotated_atss.data_check.problems import Problem
from rotated_atss.dota.classes import hyphenate
from rotated_atss.dota.folders import IMAGE_SUFFIXES, list_files
from rotated_atss.errors import count_of, quote
from rotated_atss.label_formats.convert import where_of
from rotated_atss.label_formats.records import ImageLabels


def find_problems(
    parts: Sequence[CheckedPart],
    against: Mapping[str, Sequence[ImageReport]],
    classes: Sequence[str] | None,
    counts: Mapping[str, int],
) -> list[Problem]:
    """Collect the problems of single files, and find those between files and between parts.

    Args:
        parts: The parts, with the reports of their files.
        against: Reports of further images, by folder. These images are only compared with the images of the parts.
        classes: Accepted class names; None accepts any.
        counts: Number of objects by class name, as :func:`count_classes` returns it.

    Example:
        >>> from rotated_atss.data_check.parts import DataPart
        >>> part = CheckedPart(DataPart(Path("images"), Path("labelTxt")))
        >>> part.images[Path("P1.png")] = ImageReport(Path("P1.png"))
        >>> [problem.kind for problem in find_problems([part], {}, None, {})]
        ['unlabeled-image']
    """
    problems = [problem for part in parts for problem in _part_problems(part, classes)]
    problems += [*_unlisted_images(parts), *find_repeated_images(_images_by_set(parts), against)]
    if classes is None:
        problems += _similar_class_names(counts, parts)
    return problems


def records_by_image(part: CheckedPart) -> dict[str, ImageLabels]:
    """Return the labels of a part by image name without suffix. If an image has several records, the first is used.

    Example:
        >>> from rotated_atss.data_check.parts import DataPart
        >>> records_by_image(CheckedPart(DataPart(Path("images"))))
        {}
    """
    records: dict[str, ImageLabels] = {}
    for report in part.labels:
        for record in report.records:
            records.setdefault(image_name(record, part.format_name), record)
    return records


def divide_shared_labels(parts: Sequence[CheckedPart]) -> None:
    """Divide the labels of a shared folder or file among the parts that share it, so that none is checked twice.

    The labels of an image stay in the part that has the image. If no part has it, they stay in the first part that
    shares the labels.

    Args:
        parts: The parts, each with the reports of all label files of its folder. Modified in place.

    Example:
        >>> from rotated_atss.data_check.label_files import LabelReport
        >>> from rotated_atss.data_check.parts import DataPart
        >>> report = LabelReport(Path("labels/P1.txt"))
        >>> parts = [CheckedPart(DataPart(Path(name), Path("labels")), labels=[report]) for name in ("train", "val")]
        >>> parts[1].images[Path("val/P1.png")] = ImageReport(Path("val/P1.png"))
        >>> divide_shared_labels(parts)
        >>> [len(part.labels) for part in parts]
        [0, 1]
    """
    # The values are indices into ``parts``. The keys are label folders (None for parts without labels).
    first_index_by_labels: dict[Path | None, int] = {}
    image_indices_by_labels: dict[Path | None, dict[str, int]] = {}  # the inner keys are image names without suffix
    for index, part in enumerate(parts):
        first_index_by_labels.setdefault(part.source.labels, index)
        index_by_image = image_indices_by_labels.setdefault(part.source.labels, {})
        for path in part.images:
            index_by_image.setdefault(path.stem, index)
    for index, part in enumerate(parts):
        first_index = first_index_by_labels[part.source.labels]
        index_by_image = image_indices_by_labels[part.source.labels]
        part_reports = []
        for report in part.labels:
            part_records = tuple(
                record
                for record in report.records
                if index_by_image.get(image_name(record, part.format_name), first_index) == index
            )
            if index_by_image.get(report.path.stem, first_index) == index:
                part_reports.append(replace(report, records=part_records))
            elif part_records:
                # The file has labels of several parts. Its problems are reported once, in the part to which the
                # name of the file belongs.
                part_reports.append(replace(report, records=part_records, problems=()))
        part.labels = part_reports


def count_classes(parts: Sequence[CheckedPart]) -> Counter[str]:
    """Return the number of objects by class name. In class names from label files, spaces are replaced by hyphens.

    Example:
        >>> count_classes([])
        Counter()
    """
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.coco.object_counts if part.coco is not None else {})
        for report in part.labels:
            for record in report.records:
                for name, number in Counter(record.classes).items():
                    counts[hyphenate(name)] += number
    return counts


def _part_problems(part: CheckedPart, classes: Sequence[str] | None) -> Iterator[Problem]:
    """Yield the problems of the files of a part, of its pairs of image and labels, and of its objects."""
    for image in part.images.values():
        yield from image.problems
    if part.coco is not None:
        yield from part.coco.problems
        yield from _wrong_coco_sizes(part)
    if part.source.labels is None:
        return
    for report in part.labels:
        yield from report.problems
    yield from report_shared_names([report.path for report in part.labels])
    records = records_by_image(part)
    damaged_names = {report.path.stem for report in part.labels if report.is_damaged}
    sources = {name: record.source for name, record in records.items()}
    yield from report_unpaired(part.source, list(part.images), sources, damaged_names)
    sizes = {path.stem: image.size for path, image in part.images.items()}
    for name, record in records.items():
        image_size = sizes.get(name)
        if record.size is not None and image_size is not None and image_size != record.size:
            yield _size_problem(str(record.source), record.name, record.size, image_size)
    # misspelled class names are corrected first, to find the duplicates that a cleaned copy would have
    corrected = [replace(record, classes=correct_classes(record.classes, classes)) for record in records.values()]
    yield from check_objects(corrected, [sizes.get(name) for name in records])


def _wrong_coco_sizes(part: CheckedPart) -> Iterator[Problem]:
    """Yield a problem for each image whose size in the COCO file differs from that of the image file."""
    assert part.coco is not None
    for image in part.coco.images.values():
        report = part.images.get(part.source.images / image.file_name)
        labeled_size = (image.width, image.height)
        if report is not None and report.size is not None and report.size != labeled_size:
            yield _size_problem(str(part.coco.path), image.file_name, labeled_size, report.size)


def _size_problem(where: str, name: str, labeled_size: tuple[int, int], actual_size: tuple[int, int]) -> Problem:
    actual, labeled = (f"{width} x {height} px" for width, height in (actual_size, labeled_size))
    what = f"{name} is {actual}, but the labels state {labeled}"
    return Problem("size-mismatch", where, what)


def _unlisted_images(parts: Sequence[CheckedPart]) -> Iterator[Problem]:
    """Yield a problem for each image of an image folder that no COCO file of the folder lists."""
    listed_names: dict[Path, set[str]] = {}
    for part in parts:
        if part.coco is not None:
            listed_names.setdefault(part.source.images, set()).update(part.coco.file_names)
    for folder, names in listed_names.items():
        for path in _iter_image_files(folder, names):
            if path.relative_to(folder).as_posix() in names:
                continue
            if path.exists():
                yield Problem("unlisted-image", str(path), "no COCO file of this folder lists it")
            else:
                what = "the link has no target, and no COCO file of this folder lists it"
                yield Problem("unreadable-image", str(path), what)


def _iter_image_files(folder: Path, listed_names: Set[str]) -> Iterator[Path]:
    """Yield the image files of a folder, and of its subfolders that contain a listed image."""
    # a name with ".." can lead out of the folder
    parents = {folder, *((folder / name).parent for name in listed_names if ".." not in Path(name).parts)}
    for parent in sorted(parents):
        if parent.is_dir() and parent.is_relative_to(folder):
            yield from list_files(parent, IMAGE_SUFFIXES, broken_links=True)


def _images_by_set(parts: Sequence[CheckedPart]) -> dict[str, list[ImageReport]]:
    """Return the images by name of their set. Images that two sets share are leaks.

    Each COCO file is a set. For parts without a COCO file, each image folder is a set, even if several parts use it.
    """
    sets: dict[str, dict[Path, ImageReport]] = {}
    for part in parts:
        name = str(part.source.images if part.coco is None else part.coco.path)
        sets.setdefault(name, {}).update(part.images)
    return {name: list(images.values()) for name, images in sets.items()}


def _similar_class_names(counts: Mapping[str, int], parts: Sequence[CheckedPart]) -> Iterator[Problem]:
    """Yield a problem for each pair of class names that are almost the same, at the first object of the rarer name."""
    for rare, frequent in find_similar(counts):
        locations = (
            where_of(record, row)
            for part in parts
            for report in part.labels
            for record in report.records
            for row, name in enumerate(record.classes)
            if hyphenate(name) == rare
        )
        where = next(locations, str(parts[0].source.coco))  # a name that is in no label file comes from COCO JSON
        rare_count, frequent_count = (count_of(counts[name], "object") for name in (rare, frequent))
        what = f"{quote(rare)} ({rare_count}) is almost the same as {quote(frequent)} ({frequent_count})"
        yield Problem("similar-classes", where, what)
