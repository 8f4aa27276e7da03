"""Read the image and label files of a dataset in parallel jobs. Each job reads a group of files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rotated_atss.data_check.image_files import ImageReport, read_image_file
from rotated_atss.data_check.label_files import MAP_FORMATS, LabelReport, read_label_file
from rotated_atss.errors import UserError
from rotated_atss.io.images import estimate_decode_bytes, image_size
from rotated_atss.io.processes import run_jobs
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.records import ReadOptions

FILES_PER_JOB = 16  # enough to hide the cost of a job, few enough for a smooth progress bar
_JOB_BYTES = 256 << 20  # limit of the decoded bytes of a job's images together; a larger image gets its own job

FileReport = ImageReport | LabelReport


@dataclass(frozen=True, eq=False)  # hashed by identity, because ``images`` cannot be hashed
class FileJob:
    """A group of image files, or of label files of one format.

    Attributes:
        paths: The files.
        format_name: Format of label files; empty for images.
        classes: Class names of label files; None accepts any.
        class_column: For vector files in map coordinates: the attribute column with the class.
        class_name: For vector files in map coordinates: the class of all objects, instead of a column.
        images: For label files: the image files, by name without suffix. The reader of a label format can need the
            sizes and georeferences of the images.
        decode: For image files: decode all pixels.
        memory_bytes: For image files: estimated memory to read the largest image. For label files: 1, because they need
            little memory.
    """

    paths: tuple[Path, ...]
    format_name: str = ""
    classes: tuple[str, ...] | None = None
    class_column: str | None = None
    class_name: str | None = None
    images: Mapping[str, Path] = field(default_factory=dict)
    decode: bool = True
    memory_bytes: int = 1

    def key(self) -> str:
        """Return a digest of the options and of the path, size and modification time of each file.

        A recorded report of this job is valid as long as the digest is the same.
        """
        options = [self.format_name, self.classes, self.class_column, self.class_name, self.decode]
        files = [_describe_file(path) for path in (*self.paths, *self.images.values())]
        return hashlib.sha256(json.dumps([options, files]).encode()).hexdigest()


def image_jobs(paths: Iterable[Path], *, decode: bool, files_per_job: int = FILES_PER_JOB) -> Iterator[FileJob]:
    """Group image files into jobs. A large image gets a job of its own.

    Args:
        paths: The files.
        decode: Decode all pixels.
        files_per_job: Largest number of files per job.

    Example:
        >>> [len(job.paths) for job in image_jobs([Path(f"P{number}.png") for number in range(20)], decode=False)]
        [16, 4]
    """
    group: list[Path] = []
    group_bytes: list[int] = []  # decoded bytes of each image of the group
    for path in paths:
        decoded_bytes = estimate_decode_bytes(path)
        if group and (len(group) == files_per_job or sum(group_bytes) + decoded_bytes > _JOB_BYTES):
            yield FileJob(tuple(group), decode=decode, memory_bytes=max(group_bytes))
            group, group_bytes = [], []
        group.append(path)
        group_bytes.append(decoded_bytes)
    if group:
        yield FileJob(tuple(group), decode=decode, memory_bytes=max(group_bytes))


def label_jobs(
    label_paths: Sequence[Path], format_name: str, image_paths: Sequence[Path], options: ReadOptions
) -> Iterator[FileJob]:
    """Group label files into jobs. Each job also has the image files that are needed to read the labels.

    Args:
        label_paths: The label files.
        format_name: Format of the label files.
        image_paths: Image files that the labels belong to.
        options: Class names, and the class column or class of labels in map coordinates.

    Example:
        >>> jobs = label_jobs([Path("P1.txt"), Path("P2.txt")], "dota", [Path("P1.png")], ReadOptions())
        >>> [(len(job.paths), list(job.images)) for job in jobs]
        [(2, ['P1'])]
    """
    images_by_name = {path.stem: path for path in image_paths}
    remaining = iter(label_paths)
    while paths := tuple(islice(remaining, FILES_PER_JOB)):
        same_name_images = {path.stem: images_by_name[path.stem] for path in paths if path.stem in images_by_name}
        # Two kinds of label files can have the objects of many images: a file that is the only label file, and a file
        # in map coordinates that does not have the name of an image.
        has_map_file_of_many_images = format_name in MAP_FORMATS and len(same_name_images) < len(paths)
        needs_all_images = len(label_paths) == 1 or has_map_file_of_many_images
        yield FileJob(
            paths, format_name, options.classes, options.class_column, options.class_name,
            images_by_name if needs_all_images else same_name_images,
        )  # fmt: skip


def read_jobs(
    jobs: Sequence[FileJob], workers: int, scheduler: str | None = None
) -> Iterator[tuple[FileJob, list[FileReport]]]:
    """Read the files of all jobs in processes, or on a Dask cluster, and yield the reports of each job as it finishes.

    Args:
        jobs: The jobs.
        workers: Number of processes.
        scheduler: Address of a Dask scheduler, whose workers read the files instead of local processes.

    Yields:
        A job, and one report per file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     ((_, reports),) = read_jobs([FileJob((Path(folder, "P1.txt"),), "dota")], workers=1)
        >>> len(reports[0].records[0])
        1
    """
    job_bytes = [job.memory_bytes for job in jobs]
    for index, reports in run_jobs(_run_job, jobs, workers, job_bytes, scheduler=scheduler):
        yield jobs[index], reports


def _run_job(job: FileJob) -> list[FileReport]:
    if not job.format_name:
        return [read_image_file(path, decode=job.decode) for path in job.paths]
    options = ReadOptions(
        job.classes,
        lambda name: _image_size(job.images, name),
        class_column=job.class_column,
        class_name=job.class_name,
        images=_image_files(job.images),
    )
    return [read_label_file(path, job.format_name, options) for path in job.paths]


def _image_files(images: Mapping[str, Path]) -> ImageFiles | None:
    if not images:
        return None
    folder = next(iter(images.values())).parent  # for error messages
    return ImageFiles(folder, images, skip_unreadable=True)  # unreadable images are reported when they are read


def _image_size(images: Mapping[str, Path], name: str) -> tuple[int, int] | None:
    """Return width and height of an image in pixels; None if there is no such image or it cannot be read."""
    try:
        return image_size(images[name]) if name in images else None
    except UserError:  # reported when the image is read
        return None


def _describe_file(path: Path) -> tuple[str, int, int] | tuple[str]:
    """Return path, size in bytes and modification time of a file; only the path if it cannot be accessed."""
    try:
        status = os.stat(path)
    except OSError:  # reported when the file is read
        return (str(path),)
    return str(path), status.st_size, status.st_mtime_ns
