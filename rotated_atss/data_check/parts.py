"""Parts of a dataset, such as train and val. A part is a folder of images with their labels."""

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
    """Folders and files of a part.

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
    """A part with the reports of its files.

    Attributes:
        source: Folders and files of the part.
        images: Reports by image file.
        labels: Reports of the label files.
        format_name: Format of the label files; empty without labels.
        coco: Report of the COCO file.
    """

    source: DataPart
    images: dict[Path, ImageReport] = field(default_factory=dict)
    labels: list[LabelReport] = field(default_factory=list)
    format_name: str = ""
    coco: CocoReport | None = None


def pair_parts(
    images: Sequence[str | Path], labels: Sequence[str | Path] | None, coco: Sequence[str | Path] | None
) -> list[DataPart]:
    """Build the parts of a dataset from the options ``--images``, ``--labels`` and ``--coco``.

    Args:
        images: Image folder of each part.
        labels: Label folder or file of each part, in the same order; None if there are no labels.
        coco: COCO file of each part, in the same order, instead of ``labels``.

    Raises:
        UserError: The numbers of folders differ, or both labels and COCO files are given.

    Example:
        >>> pair_parts(["val/images"], ["val/labelTxt"], None)[0].labels.as_posix()
        'val/labelTxt'
    """
    if labels is not None and coco is not None:
        raise UserError("--labels and --coco cannot be combined", hint="check them in two runs")
    for option, paths in (("--labels", labels), ("--coco", coco)):
        if paths is not None and len(paths) != len(images):
            what = f"--images and {option} must have the same number of paths, got {len(images)} and {len(paths)}"
            raise UserError(what, hint="give the paths in the same order")
    return [
        DataPart(Path(folder), Path(labels[index]) if labels else None, Path(coco[index]) if coco else None)
        for index, folder in enumerate(images)
    ]


def list_part_images(part: DataPart, coco: CocoReport | None) -> tuple[list[Path], list[Problem]]:
    """List the image files of a part, and report problems with their names.

    Args:
        part: The part.
        coco: Report of the part's COCO file. If it is None, all images of the folder are listed.

    Returns:
        The image files and the problems. With a COCO file, only images that the file lists are returned, and each
        listed image that does not exist is a problem.

    Raises:
        UserError: The folder is missing, or contains no image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("P1.png", "P1.jpg", "P2.gif"):
        ...         Path(folder, name).touch()
        ...     [problem.kind for problem in list_part_images(DataPart(Path(folder)), None)[1]]
        ['shared-name', 'skipped-file']
    """
    # called even if a COCO file lists the images, because list_files raises an error if the folder is missing
    paths = list_files(part.images, IMAGE_SUFFIXES, broken_links=True)
    if coco is not None:
        return _list_coco_images(part, coco)
    if not paths:
        raise UserError(f"no images in this folder ({', '.join(IMAGE_SUFFIXES)})", where=part.images)
    problems = list(_name_problems(paths))
    for name in skipped_images(part.images):
        problems.append(Problem("skipped-file", str(part.images / name), "this image format is not supported"))
    return paths, problems


def report_shared_names(paths: Sequence[Path]) -> Iterator[Problem]:
    """Yield a problem for each file whose name differs from that of an earlier file only in suffix or case.

    Example:
        >>> [str(problem) for problem in report_shared_names([Path("P1.txt"), Path("p1.txt")])]
        ['p1.txt: differs from P1.txt only in suffix or case']
    """
    first_path_by_stem: dict[str, Path] = {}  # the stems are in lower case
    for path in paths:
        first_path = first_path_by_stem.setdefault(path.stem.casefold(), path)
        if first_path is not path:
            yield Problem("shared-name", str(path), f"differs from {first_path.name} only in suffix or case")


def image_name(record: ImageLabels, format_name: str) -> str:
    """Return the name, without suffix, of the image to which labels belong.

    Args:
        record: The labels.
        format_name: Format of the labels. The name of a DOTA label file without ``.txt`` is the name of its image
            without suffix. A further dot, as in ``P1.png.txt``, is part of the name.

    Example:
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> image_name(ObjectList().build("P1.png", Path("a.json")), "labelme")
        'P1'
    """
    return record.name if format_name == DOTA else record.image_id


def report_unpaired(
    part: DataPart, image_paths: Sequence[Path], label_paths: Mapping[str, Path], damaged_names: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield problems of images without labels, and of labels without an image.

    Args:
        part: The part.
        image_paths: Image files.
        label_paths: Label files, keyed by the name of their image without suffix.
        damaged_names: Names of damaged label files without suffix. Images with these names count as labeled.

    Example:
        >>> part = DataPart(Path("images"), Path("labelTxt"))
        >>> problems = report_unpaired(part, [Path("P1.png")], {"P2": Path("P2.txt")})
        >>> [str(problem) for problem in problems]
        ['P1.png: no labels in labelTxt', 'P2.txt: no image P2.* in images']
    """
    image_names = {path.stem for path in image_paths}
    for path in image_paths:
        if path.stem not in label_paths and path.stem not in damaged_names:
            yield Problem("unlabeled-image", str(path), f"no labels in {part.labels}")
    for name, path in label_paths.items():
        if name not in image_names:
            yield Problem("missing-image", str(path), f"no image {name}.* in {part.images}")


def _name_problems(paths: Sequence[Path]) -> Iterator[Problem]:
    yield from report_shared_names(paths)
    for path in paths:
        try:
            check_image_name(path.stem)
        except UserError as error:
            yield Problem("image-name", str(path), error.what)


def _list_coco_images(part: DataPart, coco: CocoReport) -> tuple[list[Path], list[Problem]]:
    """Return the existing image files that a COCO file lists, and a problem for each missing one."""
    listed_images = {part.images / image.file_name: image for image in coco.images.values()}
    folders = {path.parent for path in listed_images}
    # listing a folder is faster than a system call per file
    names_by_folder = {folder: set(os.listdir(folder)) if folder.is_dir() else set() for folder in folders}
    existing, problems = [], []
    for path, image in listed_images.items():
        if path.name in names_by_folder[path.parent]:
            existing.append(path)
        else:
            what = f"this image does not exist, but {coco.path} lists it as id {image.id}"
            problems.append(Problem("missing-image", str(path), what))
    return sorted(existing), problems
