"""Read label files of any format and collect all their problems instead of stopping at the first one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rotated_atss.data_check.class_names import find_misspelled
from rotated_atss.data_check.problems import Problem
from rotated_atss.dota.classes import hyphenate, unknown_class_hint
from rotated_atss.dota.labels import Labels, parse_labels
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import read_bytes
from rotated_atss.label_formats.convert import where_of
from rotated_atss.label_formats.geojson import LON_LAT_NOTE
from rotated_atss.label_formats.recognize import possible_formats
from rotated_atss.label_formats.records import ImageLabels, ReadOptions, format_notes
from rotated_atss.label_formats.registry import FORMATS, get_format

DOTA = "dota"
MAP_FORMATS = ("geojson", "vector")
"""Formats that can have map coordinates, so that one file can have objects of several georeferenced images."""

_FILES_TO_RECOGNIZE = 100  # number of files that are read to recognize the format of a folder
_ZERO_FLAGS = ("0", "0.0", "false", "no", "n", "none")  # difficult flags that mean 0


@dataclass(frozen=True)
class LabelReport:
    """Objects and problems of a label file.

    Attributes:
        path: The file.
        records: Objects per image. A wrong difficult flag is replaced with the flag that a cleaned copy gets.
        problems: Problems of the file and of its lines.
        is_damaged: Whether the file could not be read. It then has no records.
    """

    path: Path
    records: tuple[ImageLabels, ...] = ()
    problems: tuple[Problem, ...] = ()
    is_damaged: bool = False


def guess_format(paths: Sequence[Path]) -> str:
    """Return the format that most label files of a folder have.

    Files of other formats become problems when they are read.

    Args:
        paths: The files. Only the first 100 are read.

    Raises:
        UserError: No file has a known format.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     guess_format([Path(folder, "P1.txt")])
        'dota'
    """
    votes: Counter[str] = Counter()
    for path in paths[:_FILES_TO_RECOGNIZE]:
        try:
            votes.update(possible_formats(path))
        except UserError:  # reported when the file is read
            continue
    if votes:
        return max(FORMATS, key=lambda name: votes[name])  # ties go to the first format in the registry
    # If no format is recognized, text files are read as DOTA text, because its reader reports each malformed line.
    if any(path.suffix.lower() == ".txt" for path in paths):
        return DOTA
    hint = f"name the format with --label-format: {', '.join(FORMATS)}"
    raise UserError("no label file of a known format", where=paths[0].parent, hint=hint)


def read_label_file(path: Path, format_name: str, options: ReadOptions | None = None) -> LabelReport:
    r"""Read a label file and collect its problems.

    Args:
        path: The file.
        format_name: A key of :data:`rotated_atss.label_formats.registry.FORMATS`.
        options: Class names, and the images of the labels with their sizes. ``options.notes`` and
            ``options.class_order`` are not used.

    Returns:
        Objects and problems. In DOTA text, every malformed line is a problem. The readers of other formats stop at the
        first error; the file is then reported as damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 shp 0\n1 2 11 2 11 8 1 8 ship 3\n1 2\n")
        ...     report = read_label_file(Path(folder, "P1.txt"), "dota", ReadOptions(classes=("ship",)))
        >>> [problem.kind for problem in report.problems], len(report.records[0])
        (['misspelled-class', 'difficult-flag', 'malformed-line'], 2)
    """
    # with fit_polygons, readers change polygons without four corners and note it, instead of raising an error
    options = replace(options or ReadOptions(), fit_polygons=True, notes=Counter(), class_order={})
    classes = options.classes
    try:
        if format_name == DOTA:
            return _read_dota(path, read_bytes(path), classes)
        records = get_format(format_name).read([path], options)
    except UserError as error:
        return LabelReport(path, (), (Problem.from_error("unreadable-labels", error),), is_damaged=True)
    if any(record.scores is not None for record in records):
        problem = Problem("unreadable-labels", str(path), "the objects have scores: these are detections")
        return LabelReport(path, (), (problem,), is_damaged=True)
    # the conversion of map coordinates to pixels is not a problem; a Counter ignores the deletion of a missing key
    del options.notes[LON_LAT_NOTE]
    problems = [Problem("changed-object", str(path), note) for note in format_notes(options.notes)]
    problems += [problem for record in records for problem in _class_problems(record, classes)]
    return LabelReport(path, tuple(records), tuple(problems))


def join_map_reports(reports: Sequence[LabelReport]) -> list[LabelReport]:
    """Join the objects of each image from several files in map coordinates.

    Args:
        reports: Reports of files of a format in :data:`MAP_FORMATS`. A file in map coordinates has a record of every
            georeferenced image, even if the record is empty.

    Returns:
        The reports with a single record per image. The record is in the report of the first file with objects of the
        image.

    Example:
        >>> record = ImageLabels("P1.tif", Path("a.gpkg"), np.zeros((1, 8)), ("ship",), np.zeros(1, int))
        >>> joined = join_map_reports([LabelReport(Path("a.gpkg"), (record,)), LabelReport(Path("b.gpkg"), (record,))])
        >>> [len(report.records) for report in joined], len(joined[0].records[0])
        ([1, 0], 2)
    """
    records_by_image: dict[str, list[ImageLabels]] = {}
    for report in reports:
        for record in report.records:
            records_by_image.setdefault(record.image_id, []).append(record)
    joined_by_file: dict[Path, list[ImageLabels]] = {}
    for records in records_by_image.values():
        nonempty = [record for record in records if len(record)]
        joined = _join_records(nonempty or records[:1])
        joined_by_file.setdefault(joined.source, []).append(joined)
    return [replace(report, records=tuple(joined_by_file.get(report.path, ()))) for report in reports]


def _join_records(records: Sequence[ImageLabels]) -> ImageLabels:
    return replace(
        records[0],
        polygons=np.concatenate([record.polygons for record in records]),
        classes=tuple(name for record in records for name in record.classes),
        difficult=np.concatenate([record.difficult for record in records]),
        lines=np.concatenate([record.lines for record in records]),
    )


def correct_classes(names: Sequence[str], classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return class names with hyphens for spaces, and misspelled names corrected.

    Args:
        names: The names.
        classes: Class names to which misspelled ones are corrected; None corrects none.

    Example:
        >>> correct_classes(["shp", "small vehicle", "tree"], ["ship", "small-vehicle"])
        ('ship', 'small-vehicle', 'tree')
    """
    if classes is None:
        return tuple(map(hyphenate, names))
    accepted_names = {hyphenate(name) for name in classes}
    corrected = {}
    for name in set(names):
        intended = None if hyphenate(name) in accepted_names else find_misspelled(name, classes)
        corrected[name] = hyphenate(intended or name)
    return tuple(corrected[name] for name in names)


def _class_problems(record: ImageLabels, classes: Sequence[str] | None) -> list[Problem]:
    """Return the problems of class names that are not in a class list."""
    if classes is None:
        return []
    accepted_names = {hyphenate(name) for name in classes}
    unknown = {name for name in set(record.classes) if hyphenate(name) not in accepted_names}
    return [
        class_problem(name, classes, where_of(record, row))
        for row, name in enumerate(record.classes)
        if name in unknown
    ]


def class_problem(name: str, classes: Sequence[str], where: str) -> Problem:
    """Return the problem of a class name that is not in a class list.

    Example:
        >>> str(class_problem("shp", ["ship"], "P1.txt:3"))
        "P1.txt:3: the class 'shp' is probably 'ship'"
    """
    intended = find_misspelled(name, classes)
    if intended is not None:
        return Problem("misspelled-class", where, f"the class {quote(name)} is probably {quote(intended)}")
    return Problem("unknown-class", where, f"unknown class {quote(name)} ({unknown_class_hint(name, classes)})")


def _read_dota(path: Path, data: bytes, classes: Sequence[str] | None) -> LabelReport:
    """Read DOTA text. Lines with an error are parsed again one by one to find the kind of problem of each."""
    errors: list[UserError] = []
    # The first element contains the objects of all correct lines. The object of each other line is appended.
    parsed = [parse_labels(data, path, classes, errors=errors)]
    lines = data.split(b"\n") if errors else []
    problems = []
    for error in errors:
        number = _line_number(error, path)
        if number is None:  # only the error about normalized coordinates names no line
            problems.append(Problem.from_error("normalized-coordinates", error))
            continue
        problem, labels = _diagnose(lines[number - 1], path, number, classes, error)
        problems.append(problem)
        if labels is not None:
            parsed.append(replace(labels, line_numbers=np.array([number])))
    record = _build_record(parsed, path)
    return LabelReport(path, (record,), (*problems, *_further_class_problems(record, classes, problems)))


def _further_class_problems(
    record: ImageLabels, classes: Sequence[str] | None, problems: Sequence[Problem]
) -> list[Problem]:
    """Return the class problems of lines for which only another problem is reported, such as a wrong difficult flag."""
    reported_lines = {problem.where for problem in problems if problem.kind in ("misspelled-class", "unknown-class")}
    return [problem for problem in _class_problems(record, classes) if problem.where not in reported_lines]


def _diagnose(
    line: bytes, path: Path, number: int, classes: Sequence[str] | None, error: UserError
) -> tuple[Problem, Labels | None]:
    """Return the problem of a line that has an error, and the object of the line unless it is malformed.

    Args:
        line: The line.
        path: The file of the line.
        number: Line number, counted from 1.
        classes: Accepted class names.
        error: The error that was raised when the whole file was parsed.
    """
    where = f"{path}:{number}"
    text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line  # byte-order mark
    labels = _parse_line(text)
    if labels is not None:  # _parse_line accepts any class name, so only the class name is wrong
        return class_problem(labels.names[0], classes or (), where), labels
    fields = text.split()
    labels = _parse_line(b" ".join(fields[:9])) if len(fields) == 10 else None  # without the difficult flag
    if labels is None:
        return Problem.from_error("malformed-line", error), None
    flag = fields[9].decode(errors="replace")
    problem = Problem("difficult-flag", where, f"the difficult flag must be 0, 1 or 2, got {quote(flag)}")
    corrected_flag = 0 if flag.lower() in _ZERO_FLAGS else 1
    return problem, replace(labels, difficult=np.array([corrected_flag]))


def _parse_line(line: bytes) -> Labels | None:
    """Return the object of a line, accepting any class name; None if the line is malformed or has no object."""
    labels = parse_labels(line, "", errors=[])  # errors are collected in the list instead of raised
    return labels if len(labels) == 1 else None


def _line_number(error: UserError, path: Path) -> int | None:
    """Return the line number in the location of an error; None if the location is only the file."""
    _, _, number = str(error.where).removeprefix(str(path)).partition(":")
    return int(number) if number else None


def _build_record(parsed: Sequence[Labels], path: Path) -> ImageLabels:
    """Return all objects as one record, in the order of their lines, with the header of the first ``Labels``."""
    lines = np.concatenate([labels.line_numbers for labels in parsed])
    order = np.argsort(lines, kind="stable")
    names = [name for labels in parsed for name in labels.names]
    return ImageLabels(
        name=path.stem,
        source=path,
        polygons=np.concatenate([labels.polygons for labels in parsed])[order],
        classes=tuple(names[row] for row in order),
        difficult=np.concatenate([labels.difficult for labels in parsed])[order],
        lines=lines[order],
        header=parsed[0].header,
    )
