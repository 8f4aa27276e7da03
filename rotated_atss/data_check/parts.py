"""The parts of a dataset, such as train and val: their image files, label files and pairs of both."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rotated_atss.data_check.coco_file import CocoReport
from rotated_atss.data_check.image_files import ImageReport
from rotated_atss.data_check.label_files import DOTA, LabelReport
from rotated_atss.data_check.problems import Problem
from rotated_atss.dota.folders import IMAGE_SUFFIXES, check_image_name, list_files, skipped_images
from rotated_atss.errors import UserError
from rotated_atss.label_formats.records import ImageLabels


@dataclass(frozen=True)
class DataPart:
    """A part of a dataset.

    Attributes:
        images: Folder of the images.
        labels: Folder or file of the labels; None for unlabeled images.
        coco: COCO instances JSON of the images, instead of ``labels``.
    """

    images: Path
    labels: Path | None = None
    coco: Path | None = None


@dataclass
class CheckedPart:
    """What was read of a part.

    Attributes:
        part: The part.
        images: Reports by image file.
        labels: Reports of the label files.
        format_name: Format of the label files; empty without labels.
        coco: Report of the COCO file.
    """

    part: DataPart
    images: dict[Path, ImageReport] = field(default_factory=dict)
    labels: list[LabelReport] = field(default_factory=list)
    format_name: str = ""
    coco: CocoReport | None = None


def pair_parts(
    images: Sequence[str | Path], labels: Sequence[str | Path] | None, coco: Sequence[str | Path] | None
) -> list[DataPart]:
    """Pair image folders with label folders or with COCO files, in order.

    Raises:
        UserError: The numbers differ, or both labels and COCO files are given.

    Example:
        >>> pair_parts(["val/images"], ["val/labelTxt"], None)[0].labels.as_posix()
        'val/labelTxt'
    """
    if labels is not None and coco is not None:
        raise UserError("--labels and --coco cannot be combined", hint="check them in two runs")
    for option, paths in (("--labels", labels), ("--coco", coco)):
        if paths is not None and len(paths) != len(images):
            what = f"one {option} per --images is needed, got {len(paths)} and {len(images)}"
            raise UserError(what, hint="give them in the same order")
    return [
        DataPart(Path(folder), Path(labels[row]) if labels else None, Path(coco[row]) if coco else None)
        for row, folder in enumerate(images)
    ]


def list_part_images(part: DataPart, coco: CocoReport | None) -> tuple[list[Path], list[Problem]]:
    """List the image files of a part, and report names that commands refuse.

    With a COCO file these are the files that it lists; missing files are problems.

    Raises:
        UserError: The folder is missing, or holds no image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("P1.png", "P1.jpg", "P2.gif"):
        ...         Path(folder, name).touch()
        ...     [problem.kind for problem in list_part_images(DataPart(Path(folder)), None)[1]]
        ['shared-name', 'skipped-file']
    """
    found = list_files(part.images, IMAGE_SUFFIXES, broken_links=True)
    if coco is not None:
        return _list_coco_images(part, coco)
    if not found:
        raise UserError(f"no images in this folder ({', '.join(IMAGE_SUFFIXES)})", where=part.images)
    problems = list(_name_problems(found))
    for name in skipped_images(part.images):
        problems.append(Problem("skipped-file", str(part.images / name), "the format of this image is not read"))
    return found, problems


def report_shared_names(paths: Sequence[Path]) -> Iterator[Problem]:
    """Yield files of a folder that differ only in their suffix or in upper and lower case.

    Example:
        >>> [str(problem) for problem in report_shared_names([Path("P1.txt"), Path("p1.txt")])]
        ['p1.txt: has the name of P1.txt']
    """
    first: dict[str, Path] = {}
    for path in paths:
        other = first.setdefault(path.stem.casefold(), path)
        if other is not path:
            yield Problem("shared-name", str(path), f"has the name of {other.name}")


def image_name(record: ImageLabels, format_name: str) -> str:
    """Return the name of the image, without suffix, that a record belongs to.

    Example:
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> image_name(ObjectList().build("P1.png", Path("a.json")), "labelme")
        'P1'
    """
    return record.name if format_name == DOTA else record.image_id


def report_unpaired(
    part: DataPart, images: Sequence[Path], labels: Mapping[str, Path], damaged: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield images without labels, and labels without an image.

    Args:
        part: The part.
        images: Image files.
        labels: Label file by image name.
        damaged: Names of damaged label files, which can be those of images.

    Example:
        >>> part = DataPart(Path("images"), Path("labelTxt"))
        >>> problems = report_unpaired(part, [Path("P1.png")], {"P2": Path("P2.txt")})
        >>> [str(problem) for problem in problems]
        ['P1.png: no labels in labelTxt', 'P2.txt: no image P2.* in images']
    """
    names = {path.stem for path in images}
    for path in images:
        if path.stem not in labels and path.stem not in damaged:
            yield Problem("unlabeled-image", str(path), f"no labels in {part.labels}")
    for name, path in labels.items():
        if name not in names:
            yield Problem("missing-image", str(path), f"no image {name}.* in {part.images}")


def _name_problems(paths: Sequence[Path]) -> Iterator[Problem]:
    yield from report_shared_names(paths)
    for path in paths:
        try:
            check_image_name(path.stem)
        except UserError as error:
            yield Problem("image-name", str(path), error.what)


def _list_coco_images(part: DataPart, coco: CocoReport) -> tuple[list[Path], list[Problem]]:
    listed = {part.images / image.file_name: image for image in coco.images.values()}
    present = {folder: set(os.listdir(folder)) if folder.is_dir() else set() for folder in {p.parent for p in listed}}
    existing = [path for path in listed if path.name in present[path.parent]]
    problems = [
        Problem("missing-image", str(path), f"no such image, listed in {coco.path} as id {image.id}")
        for path, image in listed.items()
        if path.name not in present[path.parent]
    ]
    return sorted(existing), problems
