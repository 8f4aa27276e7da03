"""Write a cleaned copy of a dataset, with links to the images and corrected labels. The input is never changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.data_check.check import DataReport
from rotated_atss.data_check.fix_coco import write_coco_part
from rotated_atss.data_check.fix_labels import write_label_part
from rotated_atss.data_check.kinds import KINDS
from rotated_atss.data_check.parts import CheckedPart, DataPart
from rotated_atss.errors import count_of
from rotated_atss.io.files import reject_overlapping_output
from rotated_atss.io.output_folders import check_empty_output, staged_folder


@dataclass(frozen=True)
class FixResult:
    """Result of writing a cleaned copy.

    Attributes:
        out: The folder of the copy.
        images: Number of images.
        objects: Number of objects.
        fixed: Number of problems that the copy no longer has, by kind.
        remaining: Number of problems that the copy still has, by kind.
        is_coco: Whether the labels are COCO JSON.
    """

    out: Path
    images: int
    objects: int
    fixed: Counter[str]
    remaining: Counter[str]
    is_coco: bool = False

    def lines(self) -> list[str]:
        """Return one line per kind of problem, with its count and fix, and a last line with the counts of the copy.

        Example:
            >>> FixResult(Path("clean"), 3, 7, Counter({"zero-area": 2}), Counter({"outside-image": 1})).lines()
            ['fixed: zero-area: 2 (removed)', 'not fixed: outside-image: 1', 'clean: 3 images, 7 objects']
        """
        lines = [
            f"fixed: {name}: {self.fixed[name]} ({_fix_of(name, self.is_coco)})" for name in KINDS if self.fixed[name]
        ]
        lines += [f"not fixed: {name}: {self.remaining[name]}" for name in KINDS if self.remaining[name]]
        counts = f"{count_of(self.images, 'image')}, {count_of(self.objects, 'object')}"
        return [*lines, f"{self.out}: {counts}"]


def write_cleaned_copy(
    report: DataReport, out: str | Path, classes: Sequence[str] | None = None, *, copy_images: bool = False
) -> FixResult:
    r"""Write a cleaned copy of a checked dataset.

    The copy has the folders ``images/`` and ``annotations/`` if the labels are COCO JSON, else ``images/`` and
    ``labelTxt/`` with DOTA text. If there are several parts, each gets a folder of its own. If nothing is fixed in a
    file of DOTA text or COCO JSON, the file is copied byte for byte.

    Args:
        report: Result of :func:`rotated_atss.data_check.check.check_data`.
        out: A new or empty folder.
        classes: The class names of the check. Misspelled names are corrected to one of these.
        copy_images: Copy the images instead of linking to them.

    Raises:
        UserError: ``out`` is not empty, overlaps an input or cannot be written, or a COCO file cannot be read.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> from rotated_atss.data_check.check import check_data
        >>> from rotated_atss.data_check.parts import DataPart
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "in").mkdir()
        ...     _ = cv2.imwrite(f"{folder}/in/P1.png", np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
        ...     _ = Path(folder, "in", "P1.txt").write_text("1 2 1 8 9 8 9 2 ship 0\n1 2 3\n")
        ...     part = DataPart(Path(folder, "in"), Path(folder, "in"))
        ...     report = check_data([part], workers=1, progress=False)
        ...     result = write_cleaned_copy(report, f"{folder}/out")
        ...     print(Path(folder, "out", "labelTxt", "P1.txt").read_text(), end="")
        1.0 2.0 9.0 2.0 9.0 8.0 1.0 8.0 ship 0
        >>> result.lines()[:-1]
        ['fixed: malformed-line: 1 (removed)', 'fixed: vertex-order: 1 (corners in clockwise order)']
    """
    check_fix_output([part.source for part in report.parts], out)
    names = _part_names([part.source for part in report.parts])
    is_coco = any(part.coco is not None for part in report.parts)
    written = Counter[str]()
    with staged_folder(out) as folder:
        for part, name in zip(report.parts, names, strict=True):
            written.update(_write_part(part, folder / name, report, classes, copy_images))
    fixed, remaining = Counter[str](), Counter[str]()
    for problem in report.problems:
        counts = fixed if _fix_of(problem.kind, is_coco) else remaining
        counts[problem.kind] += 1
    return FixResult(Path(out), written["images"], written["objects"], fixed, remaining, is_coco)


def check_fix_output(parts: Sequence[DataPart], out: str | Path) -> None:
    """Raise an error if no cleaned copy can be written. Call this before the check, which can take a long time.

    Raises:
        UserError: ``out`` is not empty or overlaps an input.

    Example:
        >>> check_fix_output([DataPart(Path("images"))], "images/clean")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: images/clean: the output overlaps the input images (choose another output)
    """
    inputs = [path for part in parts for path in (part.images, part.labels, part.coco) if path is not None]
    reject_overlapping_output(out, inputs)
    check_empty_output(out)


def _write_part(
    part: CheckedPart, target: Path, report: DataReport, classes: Sequence[str] | None, copy_images: bool
) -> Counter[str]:
    """Write one part; return the numbers of ``images`` and ``objects``."""
    if part.coco is not None:
        return write_coco_part(part, target, classes, copy_images=copy_images)
    fixable = [problem for problem in report.problems if KINDS[problem.kind].fix]
    # problem.where can be "path:line"; to_json returns the path alone.
    changed_files = {problem.to_json()["path"] for problem in fixable}
    return write_label_part(part, target, changed_files, classes, copy_images=copy_images)


def _fix_of(kind: str, is_coco: bool) -> str:
    """Return how the copy fixes a kind of problem; empty if it does not fix it."""
    return KINDS[kind].coco_fix if is_coco else KINDS[kind].fix


def _part_names(parts: Sequence[DataPart]) -> list[str]:
    """Return the folder name of each part in the copy; empty if there is a single part.

    The name is the last path component in which all image folders differ, such as ``train`` of ``train/images``. If
    several COCO files share an image folder, their paths are compared instead. If the paths differ in no component, the
    names are ``part1``, ``part2``, ...
    """
    if len(parts) == 1:
        return [""]
    paths = [part.images.resolve() for part in parts]
    if len(set(paths)) < len(paths):
        paths = [path if part.coco is None else part.coco.with_suffix("") for path, part in zip(paths, parts)]
    for depth in range(1, min(len(path.parts) for path in paths) + 1):
        names = [path.parts[-depth] for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"part{number}" for number in range(1, len(parts) + 1)]
