"""A cleaned copy of a dataset: images are linked, labels are corrected. The input is never written to."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rotated_atss.data_check.check import DataReport, records_by_image
from rotated_atss.data_check.image_files import ImageReport
from rotated_atss.data_check.kinds import KINDS
from rotated_atss.data_check.label_files import DOTA, correct_classes
from rotated_atss.data_check.objects import clockwise, first_duplicates, zero_areas
from rotated_atss.data_check.parts import CheckedPart, DataPart
from rotated_atss.dota.labels import format_labels
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.files import check_output_apart, read_bytes, write_bytes
from rotated_atss.io.output_folders import check_empty_output, staged_folder
from rotated_atss.label_formats.records import ImageLabels


@dataclass(frozen=True)
class FixResult:
    """Result of writing a cleaned copy.

    Attributes:
        out: The folder.
        images: Number of images.
        objects: Number of objects.
        fixed: Number of problems that the copy no longer has, by kind.
        remaining: Number of problems that it still has, by kind.
    """

    out: Path
    images: int
    objects: int
    fixed: Counter[str]
    remaining: Counter[str]

    def lines(self) -> list[str]:
        """Return what was done per kind, one line each.

        Example:
            >>> FixResult(Path("clean"), 3, 7, Counter({"zero-area": 2}), Counter({"outside-image": 1})).lines()
            ['fixed: zero-area: 2 (removed)', 'as before: outside-image: 1', 'clean: 3 images, 7 objects']
        """
        lines = [f"fixed: {name}: {self.fixed[name]} ({KINDS[name].fix})" for name in KINDS if self.fixed[name]]
        lines += [f"as before: {name}: {self.remaining[name]}" for name in KINDS if self.remaining[name]]
        counts = f"{count_of(self.images, 'image')}, {count_of(self.objects, 'object')}"
        return [*lines, f"{self.out}: {counts}"]


def write_cleaned(
    report: DataReport, out: str | Path, classes: Sequence[str] | None = None, *, copy_images: bool = False
) -> FixResult:
    r"""Write a cleaned copy of a checked dataset.

    The copy has ``images/`` and, as DOTA text, ``labelTxt/``; with several parts, in a folder per part. A label file of
    DOTA text without a problem is copied byte for byte.

    Args:
        report: Result of :func:`rotated_atss.data_check.check.check_data`.
        out: A new or empty folder.
        classes: The class names of the check, to which misspelled ones are corrected.
        copy_images: Copy the images instead of linking to them.

    Raises:
        UserError: A part has COCO JSON, ``out`` is not empty or overlaps an input, or it cannot be written.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> from rotated_atss.data_check.check import check_data
        >>> from rotated_atss.data_check.parts import DataPart
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "in").mkdir()
        ...     _ = cv2.imwrite(f"{folder}/in/P1.png", np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
        ...     _ = Path(folder, "in", "P1.txt").write_text("1 2 1 8 9 8 9 2 ship 0\n1 2 3\n")
        ...     part = DataPart(Path(folder, "in"), Path(folder, "in"))
        ...     result = write_cleaned(check_data([part], workers=1, progress=False), f"{folder}/out")
        ...     print(Path(folder, "out", "labelTxt", "P1.txt").read_text(), end="")
        1.0 2.0 9.0 2.0 9.0 8.0 1.0 8.0 ship 0
        >>> result.lines()[:-1]
        ['fixed: malformed-line: 1 (removed)', 'fixed: vertex-order: 1 (corners in clockwise order)']
    """
    check_fix_output([part.part for part in report.parts], out)
    names = _part_names([part.part.images for part in report.parts])
    formats = iter(report.format_names)
    written = Counter[str]()
    with staged_folder(out) as folder:
        for part, name in zip(report.parts, names, strict=True):
            target = folder / name
            format_name = "" if part.part.labels is None else next(formats)
            written.update(_write_part(part, format_name, target, report, classes, copy_images))
    fixed, remaining = Counter[str](), Counter[str]()
    for problem in report.problems:
        (fixed if KINDS[problem.kind].fix else remaining)[problem.kind] += 1
    return FixResult(Path(out), written["images"], written["objects"], fixed, remaining)


def check_fix_output(parts: Sequence[DataPart], out: str | Path) -> None:
    """Raise an error, before anything is read, if no cleaned copy can be written.

    Raises:
        UserError: A part has COCO JSON, or ``out`` is not empty or overlaps an input.

    Example:
        >>> check_fix_output([DataPart(Path("images"), coco=Path("a.json"))], "clean")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: --fix: a cleaned copy of COCO JSON is not supported (correct the file itself)
    """
    if any(part.coco is not None for part in parts):
        raise UserError("a cleaned copy of COCO JSON is not supported", where="--fix", hint="correct the file itself")
    check_output_apart(out, [folder for part in parts for folder in (part.images, part.labels) if folder is not None])
    check_empty_output(out)


def clean_labels(record: ImageLabels, classes: Sequence[str] | None = None) -> ImageLabels:
    """Return labels without zero-area and duplicate objects, with clockwise corners and corrected class names.

    Example:
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> objects = ObjectList()
        >>> for name in ("ship", "shp"):
        ...     objects.add([1, 2, 1, 8, 11, 8, 11, 2], name, where="P1.txt")
        >>> cleaned = clean_labels(objects.build("P1", Path("P1.txt")), ["ship"])
        >>> cleaned.classes, cleaned.polygons[0, :4].tolist()
        (('ship',), [1.0, 2.0, 11.0, 2.0])
    """
    names = correct_classes(record.classes, classes)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    first = first_duplicates(record.polygons, np.array([numbers[name] for name in names], dtype=np.int64))
    keep = ~zero_areas(record.polygons) & (first == np.arange(len(first)))
    return replace(
        record,
        polygons=clockwise(record.polygons[keep]),
        classes=tuple(name for name, is_kept in zip(names, keep.tolist(), strict=True) if is_kept),
        difficult=record.difficult[keep],
        lines=record.lines[keep] if len(record.lines) else record.lines,
    )


def _write_part(
    part: CheckedPart,
    format_name: str,
    target: Path,
    report: DataReport,
    classes: Sequence[str] | None,
    copy_images: bool,
) -> Counter[str]:
    """Write one part; return the numbers of images and objects."""
    (target / "images").mkdir(parents=True)
    records = records_by_image(part, format_name)
    labeled = part.part.labels is not None
    if labeled:
        (target / "labelTxt").mkdir()
    changed = _changed_files(report)
    counts: Counter[str] = Counter()
    for path, image in part.images.items():
        record = records.get(path.stem)
        if image.size is None or (labeled and record is None):
            continue
        _place_image(image, target / "images" / f"{path.stem}{image.suffix}", copy_images)
        counts["images"] += 1
        if record is not None:
            cleaned = clean_labels(record, classes)
            as_it_is = format_name == DOTA and str(record.source) not in changed
            content = read_bytes(record.source) if as_it_is else _label_text(cleaned)
            write_bytes(target / "labelTxt" / f"{path.stem}.txt", content)
            counts["objects"] += len(cleaned)
    return counts


def _label_text(record: ImageLabels) -> bytes:
    return format_labels(record.polygons, record.classes, record.difficult, header=record.header)


def _changed_files(report: DataReport) -> set[str]:
    """Return the label files that have a problem which a cleaned copy fixes."""
    return {problem.to_json()["path"] for problem in report.problems if KINDS[problem.kind].fix}


def _place_image(image: ImageReport, target: Path, copy: bool) -> None:
    """Link to an image, or copy it where links are not possible."""
    if os.path.lexists(target):
        what = f"two images of the cleaned copy have the name {target.name}"
        raise UserError(what, where=image.path, hint="rename one of them")
    if not copy:
        try:
            target.symlink_to(image.path.resolve())
            return
        except OSError:  # a file system without links
            pass
    shutil.copyfile(image.path, target)


def _part_names(folders: Sequence[Path]) -> list[str]:
    """Return a folder name per part: empty for a single one, else the last component in which the paths differ."""
    if len(folders) == 1:
        return [""]
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, min(map(len, parts))):
        names = [each[-depth] for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"part{number}" for number in range(1, len(folders) + 1)]
