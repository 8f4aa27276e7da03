"""Check a dataset in one parallel pass over its image and label files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from rotated_atss.data_check.class_names import find_similar
from rotated_atss.data_check.coco_file import check_coco_file
from rotated_atss.data_check.image_files import ImageReport, read_image_file
from rotated_atss.data_check.kinds import KINDS
from rotated_atss.data_check.label_files import (
    MAP_FORMATS,
    LabelReport,
    correct_classes,
    guess_format,
    join_map_reports,
    read_label_file,
)
from rotated_atss.data_check.leakage import find_repeated_images
from rotated_atss.data_check.objects import check_objects
from rotated_atss.data_check.parts import (
    CheckedPart,
    DataPart,
    image_name,
    list_part_images,
    report_shared_names,
    report_unpaired,
)
from rotated_atss.data_check.problems import Problem
from rotated_atss.dota.classes import hyphenate
from rotated_atss.dota.folders import IMAGE_SUFFIXES, list_files
from rotated_atss.errors import UserError, quote
from rotated_atss.io.images import estimate_decode_bytes, image_size
from rotated_atss.io.processes import available_cores, run_jobs
from rotated_atss.io.progress import progress_bar
from rotated_atss.label_formats.convert import where_of
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.reading import AUTO, list_label_paths
from rotated_atss.label_formats.records import ImageLabels, ReadOptions

_FILES_PER_JOB = 16
_JOB_BYTES = 256 << 20  # pixels per job


@dataclass
class DataReport:
    """Result of a check.

    Attributes:
        problems: All problems.
        parts: What was read of each part.
        format_names: Label format per part; empty without labels.
        classes: Numbers of objects by class name.
        against: Number of images that were only compared.
        seconds: Wall time.
    """

    problems: list[Problem]
    parts: list[CheckedPart]
    format_names: list[str] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    against: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the report as an object for JSON."""
        counts = Counter(problem.kind for problem in self.problems)
        return {
            "images": sum(len(part.images) for part in self.parts),
            "label_files": sum(len(part.labels) for part in self.parts),
            "images_compared": self.against,
            "objects": dict(sorted(self.classes.items())),
            "counts": {name: counts[name] for name in KINDS if counts[name]},
            "problems": [problem.to_json() for problem in self.problems],
            "seconds": round(self.seconds, 3),
        }


def check_data(
    parts: Sequence[DataPart],
    *,
    against: Sequence[str | Path] = (),
    label_format: str = AUTO,
    classes: Sequence[str] | None = None,
    class_column: str | None = None,
    class_name: str | None = None,
    decode: bool = True,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool | None = None,
) -> DataReport:
    r"""Check the parts of a dataset, and compare the content of all images.

    Args:
        parts: The parts, such as train and val.
        against: Further image folders, which are only compared with the images of ``parts``.
        label_format: A key of :data:`rotated_atss.label_formats.registry.FORMATS`, or ``auto``.
        classes: Class names; None accepts any, and reports names that are almost equal.
        class_column: Column with the class, for labels in map coordinates.
        class_name: Class of all objects, for labels in map coordinates.
        decode: Decode all pixels. Otherwise damaged pixels and copies in another file format are not found.
        workers: Processes; None uses one per core. The report does not depend on it.
        scheduler: Address of a Dask scheduler whose workers read the files instead; paths must be absolute then.
        progress: Show a progress bar; None shows it on a terminal.

    Raises:
        UserError: A folder is missing or empty, or no label file has a known format.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
        ...     _ = Path(folder, "P1.txt").write_text("1 2 9 2 9 8 1 8 ship 0\n1 2 9 2 9 8 1 8 ship 0\n")
        ...     report = check_data([DataPart(Path(folder), Path(folder))], workers=1, progress=False)
        >>> [problem.kind for problem in report.problems]
        ['duplicate-object']
    """
    started = time.perf_counter()
    workers = available_cores() if workers is None else workers
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, got {workers}")
    checked, problems, plans = [], [], []
    for part in parts:
        coco = None if part.coco is None else check_coco_file(part.coco, classes)
        images, found = list_part_images(part, coco)
        problems += found
        plans.append(_Plan(images, *_list_labels(part, label_format)))
        checked.append(CheckedPart(part, coco=coco))
    compared = {str(folder): list_files(folder, IMAGE_SUFFIXES) for folder in against}
    options = ReadOptions(None if classes is None else tuple(classes), class_column=class_column, class_name=class_name)
    reports = _read_all(_make_jobs(plans, compared, options, decode), workers, scheduler, progress)
    for result, plan in zip(checked, plans, strict=True):
        result.images = {path: reports[path] for path in plan.images}
        result.labels = [reports[path] for path in plan.labels]
        if plan.format_name in MAP_FORMATS:
            result.labels = join_map_reports(result.labels)
    _divide_shared_labels(checked, plans)
    for result, plan in zip(checked, plans, strict=True):
        problems += _part_problems(result, plan, classes)
    sets = _by_folder(checked)
    own = {path.resolve() for result in checked for path in result.images} if against else set()
    others = {name: [reports[path] for path in paths if path.resolve() not in own] for name, paths in compared.items()}
    problems += [*_unlisted_images(checked), *find_repeated_images(sets, others)]
    counts = _count_classes(checked)
    problems += _similar_names(counts, checked) if classes is None else []
    format_names = [plan.format_name for plan in plans if plan.format_name]
    return DataReport(
        problems, checked, format_names, counts, sum(map(len, others.values())), time.perf_counter() - started
    )


def records_by_image(part: CheckedPart, format_name: str) -> dict[str, ImageLabels]:
    """Return the objects of a part by image name; of several records of one image, the first."""
    records: dict[str, ImageLabels] = {}
    for report in part.labels:
        for record in report.records:
            records.setdefault(image_name(record, format_name), record)
    return records


@dataclass(frozen=True)
class _Plan:
    """Files of a part to read, and the format of its labels."""

    images: list[Path]
    labels: list[Path]
    format_name: str


@dataclass(frozen=True)
class _Job:
    """Files to read in one call: images, or labels if a format is named; ``images`` by id are those of the labels."""

    paths: tuple[Path, ...]
    format_name: str = ""
    classes: tuple[str, ...] | None = None
    class_column: str | None = None
    class_name: str | None = None
    images: Mapping[str, Path] = field(default_factory=dict)
    decode: bool = True


def _list_labels(part: DataPart, label_format: str) -> tuple[list[Path], str]:
    if part.labels is None:
        return [], ""
    paths = list_label_paths(part.labels, label_format)
    return paths, guess_format(paths) if label_format == AUTO else label_format


def _make_jobs(
    plans: Sequence[_Plan], compared: Mapping[str, Sequence[Path]], options: ReadOptions, decode: bool
) -> list[tuple[_Job, int]]:
    """Return the jobs for all files, with the memory of each in bytes."""
    images = dict.fromkeys(path for group in (*(plan.images for plan in plans), *compared.values()) for path in group)
    jobs = [(_Job(paths, decode=decode), size) for paths, size in _image_groups(images)]
    for plan in plans:
        jobs += [(job, 1) for job in _label_jobs(plan, options)]
    return jobs


def _read_all(
    sized_jobs: Sequence[tuple[_Job, int]], workers: int, scheduler: str | None, progress: bool | None
) -> dict[Path, Any]:
    """Read all files and return their reports by path."""
    jobs, job_bytes = [job for job, _ in sized_jobs], [size for _, size in sized_jobs]
    reports: dict[Path, Any] = {}
    with progress_bar(total=sum(len(job.paths) for job in jobs), desc="check", unit="file", show=progress) as bar:
        for index, results in run_jobs(_run, jobs, workers, job_bytes, scheduler=scheduler):
            reports.update(zip(jobs[index].paths, results, strict=True))
            bar.update(len(results))
    return reports


def _run(job: _Job) -> list[ImageReport] | list[LabelReport]:
    """Read the files of a job."""
    if not job.format_name:
        return [read_image_file(path, decode=job.decode) for path in job.paths]
    options = ReadOptions(
        job.classes,
        lambda name: _size(job.images, name),
        class_column=job.class_column,
        class_name=job.class_name,
        images=ImageFiles(_folder_of(job.images), job.images, skip_unreadable=True) if job.images else None,
    )
    return [read_label_file(path, job.format_name, options) for path in job.paths]


def _folder_of(images: Mapping[str, Path]) -> Path:
    return next(iter(images.values())).parent


def _size(images: Mapping[str, Path], name: str) -> tuple[int, int] | None:
    try:
        return image_size(images[name]) if name in images else None
    except UserError:  # reading the image reports it
        return None


def _image_groups(paths: Iterable[Path]) -> Iterator[tuple[tuple[Path, ...], int]]:
    """Group images into jobs, large ones alone, with the largest memory of one image."""
    group: list[Path] = []
    sizes: list[int] = []
    for path in paths:
        size = estimate_decode_bytes(path)
        if group and (len(group) == _FILES_PER_JOB or sum(sizes) + size > _JOB_BYTES):
            yield tuple(group), max(sizes)
            group, sizes = [], []
        group.append(path)
        sizes.append(size)
    if group:
        yield tuple(group), max(sizes)


def _label_jobs(plan: _Plan, options: ReadOptions) -> Iterator[_Job]:
    by_name = {path.stem: path for path in plan.images}
    remaining = iter(plan.labels)
    while paths := tuple(islice(remaining, _FILES_PER_JOB)):
        # a file of many images needs all of them
        near = {path.stem: by_name[path.stem] for path in paths if path.stem in by_name}
        is_of_many = len(plan.labels) == 1 or (plan.format_name in MAP_FORMATS and len(near) < len(paths))
        yield _Job(
            paths, plan.format_name, options.classes, options.class_column, options.class_name,
            by_name if is_of_many else near,
        )  # fmt: skip


def _divide_shared_labels(checked: Sequence[CheckedPart], plans: Sequence[_Plan]) -> None:
    """Give every label of a folder that several parts name to the part that has its image, else to the first part."""
    owners: dict[Path | None, dict[str, int]] = {}
    first: dict[Path | None, int] = {}
    for index, result in enumerate(checked):
        first.setdefault(result.part.labels, index)
        names = owners.setdefault(result.part.labels, {})
        for path in result.images:
            names.setdefault(path.stem, index)
    for index, (result, plan) in enumerate(zip(checked, plans, strict=True)):
        default, names = first[result.part.labels], owners[result.part.labels]
        own = []
        for report in result.labels:
            kept = tuple(
                record for record in report.records if names.get(image_name(record, plan.format_name), default) == index
            )
            if names.get(report.path.stem, default) == index:
                own.append(replace(report, records=kept))
            elif kept:  # a file of many images, whose problems are those of the first part
                own.append(replace(report, records=kept, problems=()))
        result.labels = own


def _part_problems(part: CheckedPart, plan: _Plan, classes: Sequence[str] | None) -> Iterator[Problem]:
    """Yield the problems of the files of a part, of its pairs and of its objects."""
    for report in part.images.values():
        yield from report.problems
    if part.coco is not None:
        yield from part.coco.problems
        yield from _coco_sizes(part)
    if part.part.labels is None:
        return
    for labels in part.labels:
        yield from labels.problems
    if len(plan.labels) > 1:
        yield from report_shared_names([labels.path for labels in part.labels])
    records = records_by_image(part, plan.format_name)
    damaged = {report.path.stem for report in part.labels if report.damaged}
    sources = {name: record.source for name, record in records.items()}
    yield from report_unpaired(part.part, plan.images, sources, damaged)
    sizes = {path.stem: report.size for path, report in part.images.items()}
    for name, record in records.items():
        if record.size is not None and sizes.get(name) not in (None, record.size):
            yield _size_problem(str(record.source), record.name, record.size, sizes[name])
    # misspelled names count as the class that is meant, as in a cleaned copy
    corrected = [replace(record, classes=correct_classes(record.classes, classes)) for record in records.values()]
    yield from check_objects(corrected, [sizes.get(name) for name in records])


def _coco_sizes(part: CheckedPart) -> Iterator[Problem]:
    assert part.coco is not None
    for image in part.coco.images.values():
        report = part.images.get(part.part.images / image.file_name)
        stated = (image.width, image.height)
        if report is not None and report.size not in (None, stated):
            yield _size_problem(str(part.coco.path), image.file_name, stated, report.size)


def _size_problem(where: str, name: str, stated: tuple[int, int], actual: tuple[int, int] | None) -> Problem:
    size = "unknown" if actual is None else f"{actual[0]} x {actual[1]}"
    return Problem("size-mismatch", where, f"{name} is {size} px, the labels state {stated[0]} x {stated[1]}")


def _unlisted_images(checked: Sequence[CheckedPart]) -> Iterator[Problem]:
    """Yield images of a folder that no COCO file of this folder lists."""
    listed: dict[Path, set[str]] = {}
    for part in checked:
        if part.coco is not None:
            listed.setdefault(part.part.images, set()).update(image.file_name for image in part.coco.images.values())
    for folder, names in listed.items():
        for path in list_files(folder, IMAGE_SUFFIXES):
            if path.name not in names:
                yield Problem("unlisted-image", str(path), "no COCO file of this folder lists it")


def _by_folder(checked: Sequence[CheckedPart]) -> dict[str, list[ImageReport]]:
    """Return the images by folder: two parts of one folder, such as two COCO files, are one set."""
    sets: dict[str, dict[Path, ImageReport]] = {}
    for part in checked:
        name = str(part.part.images if part.coco is None else part.coco.path)
        sets.setdefault(name, {}).update(part.images)
    return {name: list(images.values()) for name, images in sets.items()}


def _count_classes(checked: Sequence[CheckedPart]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for part in checked:
        counts.update(part.coco.objects if part.coco is not None else {})
        for report in part.labels:
            for record in report.records:
                for name, number in Counter(record.classes).items():
                    counts[hyphenate(name)] += number
    return counts


def _similar_names(counts: Mapping[str, int], checked: Sequence[CheckedPart]) -> Iterator[Problem]:
    """Yield class names that are almost equal, at the first object of the rarer one."""
    for rare, frequent in find_similar(counts):
        places = (
            where_of(record, row)
            for part in checked
            for report in part.labels
            for record in report.records
            for row, name in enumerate(record.classes)
            if hyphenate(name) == rare
        )
        where = next(places, str(checked[0].part.coco))
        what = f"{quote(rare)} ({counts[rare]}) is almost {quote(frequent)} ({counts[frequent]})"
        yield Problem("similar-classes", where, what)
