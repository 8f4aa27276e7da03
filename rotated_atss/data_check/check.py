"""Check a dataset in one parallel pass over its image and label files."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rotated_atss.data_check.coco_file import check_coco_file
from rotated_atss.data_check.dataset_checks import count_classes, divide_shared_labels, find_problems
from rotated_atss.data_check.file_jobs import FILES_PER_JOB, FileJob, FileReport, image_jobs, label_jobs, read_jobs
from rotated_atss.data_check.kinds import KINDS
from rotated_atss.data_check.label_files import MAP_FORMATS, guess_format, join_map_reports
from rotated_atss.data_check.parts import CheckedPart, DataPart, list_part_images
from rotated_atss.data_check.problems import Problem
from rotated_atss.data_check.shards import describe_check, read_shard
from rotated_atss.dota.folders import IMAGE_SUFFIXES, list_files
from rotated_atss.errors import UserError
from rotated_atss.io.processes import available_cores
from rotated_atss.io.progress import progress_bar
from rotated_atss.io.shards import Shard
from rotated_atss.label_formats.reading import AUTO, list_label_paths
from rotated_atss.label_formats.records import ReadOptions


@dataclass
class DataReport:
    """Result of a check.

    Attributes:
        problems: All problems.
        parts: The parts, with the reports of their files.
        class_counts: Number of objects by class name.
        num_compared: Number of images outside the dataset (``against`` of :func:`check_data`) that were compared with
            its images.
        seconds: Wall time.
        unfinished: Shards that have not read all of their files. If there are any, nothing is reported about the data.
    """

    problems: list[Problem]
    parts: list[CheckedPart]
    class_counts: Counter[str] = field(default_factory=Counter)
    num_compared: int = 0
    seconds: float = 0.0
    unfinished: tuple[Shard, ...] = ()

    @property
    def format_names(self) -> list[str]:
        """Label format of each part that has labels."""
        return [part.format_name for part in self.parts if part.format_name]

    def to_json(self) -> dict[str, Any]:
        """Return the report as an object for JSON."""
        counts = Counter(problem.kind for problem in self.problems)
        return {
            "images": sum(len(part.images) for part in self.parts),
            "label_files": sum(len(part.labels) for part in self.parts),
            "images_compared": self.num_compared,
            "objects": dict(sorted(self.class_counts.items())),
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
    records: Path | None = None,
    shard: Shard | None = None,
) -> DataReport:
    r"""Check the parts of a dataset, and compare the content of all images.

    Args:
        parts: The parts, such as train and val.
        against: Further image folders, whose images are only compared with the images of ``parts``.
        label_format: A key of :data:`rotated_atss.label_formats.registry.FORMATS`, or ``auto``.
        classes: Accepted class names. None accepts any name, and reports pairs of names that are almost the same.
        class_column: For vector files in map coordinates: the attribute column with the class.
        class_name: For vector files in map coordinates: the class of all objects, instead of a column.
        decode: Decode all pixels. If False, damaged pixels and copies in another file format are not found.
        workers: Number of processes; None uses one per core. The report does not depend on it.
        scheduler: Address of a Dask scheduler, whose workers read the files instead of local processes. Paths must then
            be absolute.
        progress: Show a progress bar; None shows it on a terminal.
        records: Folder in which the report of each file is recorded, created if missing. A later call with the same
            options reads only the files that have changed.
        shard: Read only the files of this shard; needs ``records``. The last shard to finish returns the report of
            the whole dataset; the others return a report with only ``unfinished``.

    Raises:
        UserError: A folder is missing or empty, no label file has a known format, or ``records`` belongs to another
            check.

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
    options = ReadOptions(None if classes is None else tuple(classes), class_column=class_column, class_name=class_name)
    files_by_part = [_list_part_files(part, label_format, classes) for part in parts]
    compared_images = {str(folder): list_files(folder, IMAGE_SUFFIXES, broken_links=True) for folder in against}
    jobs = _make_jobs(files_by_part, compared_images, options, decode=decode, one_image_per_job=records is not None)
    read_reports = partial(_read_files, workers, scheduler, progress)
    if records is None:
        reports = {report.path: report for _, job_reports in read_reports(jobs) for report in job_reports}
    else:
        description = describe_check(parts, against, label_format, options, decode=decode)
        reports, unfinished = read_shard(jobs, records, shard, description, read_reports)
        if unfinished:
            return DataReport([], [], seconds=time.perf_counter() - started, unfinished=unfinished)
    return _build_report(files_by_part, compared_images, reports, classes, started)


@dataclass(frozen=True)
class _PartFiles:
    """The files of a part, before they are read.

    Attributes:
        part: The part, still without the reports of its image and label files.
        image_paths: Image files.
        label_paths: Label files.
        problems: Problems found while the images were listed: bad image names and missing images.
    """

    part: CheckedPart
    image_paths: list[Path]
    label_paths: list[Path]
    problems: list[Problem]


def _list_part_files(part: DataPart, label_format: str, classes: Sequence[str] | None) -> _PartFiles:
    coco = None if part.coco is None else check_coco_file(part.coco, classes, part.images)
    image_paths, problems = list_part_images(part, coco)
    label_paths, format_name = [], ""
    if part.labels is not None:
        label_paths = list_label_paths(part.labels, label_format)
        format_name = guess_format(label_paths) if label_format == AUTO else label_format
    return _PartFiles(CheckedPart(part, format_name=format_name, coco=coco), image_paths, label_paths, problems)


def _make_jobs(
    files_by_part: Sequence[_PartFiles],
    compared_images: Mapping[str, Sequence[Path]],
    options: ReadOptions,
    *,
    decode: bool,
    one_image_per_job: bool,
) -> list[FileJob]:
    """Return the jobs that read all files, each file once.

    Args:
        files_by_part: Files per part. Parts can share images and labels.
        compared_images: Image files that are only compared, by folder.
        options: Class names, and the class column or class of labels in map coordinates.
        decode: Decode all pixels.
        one_image_per_job: Read one image per job, so that reports are recorded image by image and shards get about
            equal work.
    """
    image_groups = (*(part_files.image_paths for part_files in files_by_part), *compared_images.values())
    images = dict.fromkeys(path for group in image_groups for path in group)
    jobs = list(image_jobs(images, decode=decode, files_per_job=1 if one_image_per_job else FILES_PER_JOB))
    # The parts are grouped by their labels, so that a label folder that several parts share is read once.
    parts_by_labels: dict[Path | None, list[_PartFiles]] = {}
    for part_files in files_by_part:
        parts_by_labels.setdefault(part_files.part.source.labels, []).append(part_files)
    for sharing_parts in parts_by_labels.values():
        images_of_labels = [path for part_files in sharing_parts for path in part_files.image_paths]
        label_paths, format_name = sharing_parts[0].label_paths, sharing_parts[0].part.format_name
        jobs += label_jobs(label_paths, format_name, images_of_labels, options)
    return jobs


def _read_files(
    workers: int, scheduler: str | None, progress: bool | None, jobs: Sequence[FileJob]
) -> Iterator[tuple[FileJob, list[FileReport]]]:
    """Read the files of jobs with a progress bar; yield each job with the reports of its files."""
    with progress_bar(total=sum(len(job.paths) for job in jobs), desc="check", unit="file", show=progress) as bar:
        for job, reports in read_jobs(jobs, workers, scheduler):
            yield job, reports
            bar.update(len(reports))


def _build_report(
    files_by_part: Sequence[_PartFiles],
    compared_images: Mapping[str, Sequence[Path]],
    reports: Mapping[Path, Any],
    classes: Sequence[str] | None,
    started: float,
) -> DataReport:
    """Add the reports of files to their parts, and collect the problems in and between the files.

    Args:
        files_by_part: Files per part.
        compared_images: Image files that are only compared, by folder.
        reports: ``ImageReport`` of each image file and ``LabelReport`` of each label file.
        classes: Accepted class names; None accepts any.
        started: Start time of the check, from ``time.perf_counter``.
    """
    parts = [part_files.part for part_files in files_by_part]
    for part, part_files in zip(parts, files_by_part, strict=True):
        part.images = {path: reports[path] for path in part_files.image_paths}
        part.labels = [reports[path] for path in part_files.label_paths]
        if part.format_name in MAP_FORMATS:
            part.labels = join_map_reports(part.labels)
    divide_shared_labels(parts)
    # a file of the parts that is also in a folder of ``against`` must not be reported as a copy of itself
    part_images = {os.path.realpath(path) for part in parts for path in part.images} if compared_images else set()
    against = {
        folder: [reports[path] for path in paths if os.path.realpath(path) not in part_images]
        for folder, paths in compared_images.items()
    }
    counts = count_classes(parts)
    problems = [problem for part_files in files_by_part for problem in part_files.problems]
    problems += find_problems(parts, against, classes, counts)
    return DataReport(problems, parts, counts, sum(map(len, against.values())), time.perf_counter() - started)
