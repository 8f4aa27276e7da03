"""Shards of one check (``check-data --shard``): runs that divide the files among themselves.

A job reads one image or several label files. Each of N shards does every N-th job and records a report per file in a
common folder. The reports have everything that comparisons between files need: hashes of images, and objects of labels.
The last shard to finish compares the files and returns the same report as an unsharded run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rotated_atss import __version__
from rotated_atss.data_check.file_jobs import FileJob, FileReport
from rotated_atss.data_check.parts import DataPart
from rotated_atss.data_check.report_records import reports_from_json, reports_to_json
from rotated_atss.io.shards import Shard, common_lock, shard_lock
from rotated_atss.io.shared_run import SharedRun, output_folder
from rotated_atss.label_formats.records import ReadOptions

COMMAND = "check-data"


def describe_check(
    parts: Sequence[DataPart], against: Sequence[str | Path], label_format: str, options: ReadOptions, *, decode: bool
) -> dict[str, str]:
    """Return the settings that all shards of a check must share, as strings by option.

    Args:
        parts: Parts of the dataset, such as the train set and the val set.
        against: Image folders that are searched for copies of the dataset's images (``--against``).
        label_format: Label format, or ``auto``.
        options: Class names. For labels in map coordinates also the column of the class, or one class for all objects.
        decode: Whether pixels are decoded.

    Example:
        >>> describe_check([DataPart(Path("images"))], [], "auto", ReadOptions(("ship",)), decode=True)["--classes"]
        'ship'
    """
    folders = {
        "--images": [part.images for part in parts],
        "--labels": [part.labels for part in parts if part.labels is not None],
        "--coco": [part.coco for part in parts if part.coco is not None],
        "--against": list(map(Path, against)),
    }
    # Messages show the paths as the user gave them. The resolved paths are compared, too, because the same relative
    # path refers to different folders if two shards run in different working directories.
    resolved_paths = [path.resolve() for group in folders.values() for path in group]
    return {
        "version": __version__,
        **{name: ", ".join(map(str, group)) for name, group in folders.items()},
        "folders": os.pathsep.join(map(str, resolved_paths)),
        "--label-format": label_format,
        "--classes": "any" if options.classes is None else ", ".join(options.classes),
        "--class-column": options.class_column or "",
        "--class-name": options.class_name or "",
        "--headers-only": str(not decode),
    }


def read_shard(
    jobs: Sequence[FileJob],
    records: Path,
    shard: Shard | None,
    description: dict[str, str],
    read_reports: Callable[[Sequence[FileJob]], Iterable[tuple[FileJob, list[FileReport]]]],
) -> tuple[dict[Path, FileReport], tuple[Shard, ...]]:
    """Read and record the files of a shard, except those that an earlier run has recorded.

    Args:
        jobs: Jobs for all files of the dataset.
        records: Folder of the records, created if missing.
        shard: The shard; None means to read all files that are not recorded.
        description: Settings that all shards share (:func:`describe_check`).
        read_reports: Function that reads the files of jobs and yields each job with its reports.

    Returns:
        Report of each file of the dataset, and the shards that have not read all of their files. If there are
        such shards, the dict of reports is empty.

    Raises:
        UserError: Shards of another check have used the folder, or another run of this shard is active.

    Example:
        >>> import tempfile
        >>> from rotated_atss.data_check.image_files import ImageReport
        >>> def read(jobs):
        ...     return [(job, [ImageReport(path) for path in job.paths]) for job in jobs]
        >>> jobs = [FileJob((Path("P1.png"),)), FileJob((Path("P2.png"),))]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for index in (2, 1):
        ...         reports, unfinished = read_shard(jobs, Path(folder), Shard(index, 2), {}, read)
        ...         len(reports), [str(shard) for shard in unfinished]
        (0, ['1/2'])
        (2, [])
    """
    with output_folder(records), shard_lock(records, COMMAND, shard):
        run = SharedRun(records, description, shard, reports_from_json)
        with common_lock(records, COMMAND, shard):  # one shard at a time creates or checks the description of the run
            run.prepare()
        # The key of a job contains the modification times of its files, and is computed before the files are read. If a
        # file changes later, the record of the job is stored under an outdated key and is not used by later runs.
        key_by_job = {job: job.key() for job in jobs}
        keys = list(key_by_job.values())
        selected_keys = set(run.select(keys))
        selected_jobs = [job for job, key in key_by_job.items() if key in selected_keys]
        for job, reports in read_reports(selected_jobs):
            run.record(key_by_job[job], reports_to_json(reports))
        unfinished = run.unfinished_shards(keys)
        if unfinished:
            return {}, tuple(unfinished)
        current_keys = set(keys)  # excludes records of earlier versions of the files, which may still be in the folder
        reports_by_key = {key: reports for key, reports in run.results() if key in current_keys}
    return {report.path: report for reports in reports_by_key.values() for report in reports}, ()
