"""Read a large label folder in several processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.dota.detections import TASK1_PREFIX
from rotated_atss.geo.polygon_layer import Note
from rotated_atss.io.processes import run_jobs
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.reading import AUTO, list_label_paths, read_label_set, reject_duplicates
from rotated_atss.label_formats.recognize import check_format, recognize_format
from rotated_atss.label_formats.records import ImageLabels, LabelSet, ReadOptions, format_notes
from rotated_atss.label_formats.registry import get_format

_FILES_PER_JOB = 100
_JOB_BYTES = 64 << 20  # memory that a job is assumed to need
# Formats whose files must be read by one call. The files of "vector" and "geojson" can be in map coordinates, and then
# several files can have labels of the same image. The predictions of "labelstudio" are read only if no file has
# annotations.
_FORMATS_READ_TOGETHER = ("vector", "geojson", "labelstudio")


@dataclass(frozen=True)
class _Job:
    """Label files that one process reads, and the options of the reader."""

    paths: tuple[Path, ...]
    format_name: str
    image_folder: Path | None
    classes: tuple[str, ...] | None


# records, classes in index order, notes
_JobResult = tuple[list[ImageLabels], tuple[str, ...], Counter[Note]]


def read_label_set_parallel(
    source: str | Path,
    format_name: str = AUTO,
    *,
    image_folder: str | Path | None = None,
    classes: Sequence[str] | None = None,
    workers: int = 1,
) -> LabelSet:
    """Read labels as :func:`rotated_atss.label_formats.reading.read_label_set` does, in several processes.

    Polygons that do not have exactly four corners are replaced with their minimum-area rectangles.

    Args:
        source: A file or folder. One process reads a folder of at most 100 files, Task1 files, and formats whose files
            must be read together.
        format_name: A label format, or ``auto``.
        image_folder: Folder of the images, for formats that need their sizes or georeference.
        classes: Class names in index order, for formats that store class indices.
        workers: Number of processes.

    Raises:
        UserError: As :func:`rotated_atss.label_formats.reading.read_label_set`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("P1", "P2"):
        ...         _ = Path(folder, f"{name}.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     [image.name for image in read_label_set_parallel(folder, workers=2).images]
        ['P1', 'P2']
    """
    folder = None if image_folder is None else Path(image_folder)
    paths = list_label_paths(source, format_name)
    # Task1 files must be read together, too: each file contains the detections of one class in all images.
    has_task1 = any(path.name.startswith(TASK1_PREFIX) for path in paths)
    in_one_process = has_task1 or workers <= 1 or len(paths) <= _FILES_PER_JOB
    if not in_one_process:
        if format_name == AUTO:
            format_name = recognize_format(paths)
        else:
            check_format(paths, format_name)
        in_one_process = format_name in _FORMATS_READ_TOGETHER
    if in_one_process:
        # read_label_set recognizes the format if it is still AUTO
        images = None if folder is None else ImageFiles(folder)
        return read_label_set(source, format_name, images=images, classes=classes, fit_polygons=True)
    class_names = None if classes is None else tuple(classes)
    starts = range(0, len(paths), _FILES_PER_JOB)
    jobs = [_Job(tuple(paths[start : start + _FILES_PER_JOB]), format_name, folder, class_names) for start in starts]
    # run_jobs yields pairs (index of the job, result) in the order in which the jobs end
    result_by_job = dict(run_jobs(_run_job, jobs, workers, [_JOB_BYTES] * len(jobs)))
    return _join_results(format_name, [result_by_job[index] for index in range(len(jobs))])


def _run_job(job: _Job) -> _JobResult:
    options = ReadOptions(classes=job.classes, fit_polygons=True)
    if job.image_folder is not None:
        options.images = ImageFiles(job.image_folder)
        options.size_of = options.images.size
    records = get_format(job.format_name).read(job.paths, options)
    return records, tuple(options.class_order), options.notes


def _join_results(format_name: str, results: Sequence[_JobResult]) -> LabelSet:
    records: list[ImageLabels] = []
    class_order: dict[str, None] = {}  # used as an ordered set
    notes: Counter[Note] = Counter()
    for job_records, job_classes, job_notes in results:
        records += job_records
        class_order.update(dict.fromkeys(job_classes))
        notes += job_notes
    reject_duplicates(records)  # A job cannot do this, because it has only its own records.
    return LabelSet(format_name, tuple(records), tuple(class_order), format_notes(notes))
