"""Identify the jobs of a split by keys, and read the records of finished jobs.

A stopped split uses the records to continue. A job is an image, or a part of a large image. The key of a job is a
digest of its input, so that a record is valid only for the same image, labels and settings. A file of records has one
line of JSON per job, with the key and the statistics of this job.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rotated_atss import __version__
from rotated_atss.dota.ground_resolution import parse_ground_resolution
from rotated_atss.dota.labels import Labels
from rotated_atss.errors import UserError
from rotated_atss.io.shared_run import iter_records
from rotated_atss.tiling.split_image import SplitJob
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.split_stats import SplitStats, Tile


def compute_job_keys(jobs: Sequence[SplitJob]) -> list[str]:
    """Compute the key of each job. Jobs with the same image, labels, settings and part have the same key.

    Args:
        jobs: The jobs. The content of an image is represented by its path, size in bytes and time of the last change.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "P1.png")
        ...     _ = path.write_bytes(b"a")
        ...     first = compute_job_keys([SplitJob(path, None, Path(folder), SplitSettings())])
        ...     _ = path.write_bytes(b"ab")
        ...     first == compute_job_keys([SplitJob(path, None, Path(folder), SplitSettings())])
        False
    """
    keys = []
    image_digests: dict[Path, str] = {}
    for job in jobs:
        # several jobs with the same image are its parts, and have the same labels and settings
        if job.image not in image_digests:
            image_digests[job.image] = _compute_digest(job)
        keys.append(f"{image_digests[job.image]}:{job.part[0]}/{job.part[1]}")
    return keys


def describe_run(settings: SplitSettings, folders: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """Describe the settings and folders of a run.

    A run can continue an unfinished split only if both have the same description.

    Returns:
        The version, the folders and each setting, by name. Values are JSON, for comparison and for error messages.

    Example:
        >>> describe_run(SplitSettings(), [("images", None)])["gaps"]
        '[200]'
    """
    paths = [
        [None if folder is None else str(Path(folder).resolve()) for folder in image_and_label_folder]
        for image_and_label_folder in folders
    ]
    content = {**asdict(settings), "images and labels": paths}
    return {"version": __version__, **{name: json.dumps(value) for name, value in content.items()}}


def read_records(folder: Path) -> dict[str, SplitStats]:
    """Read the records of all shards of a split; lines that a killed run left incomplete are skipped.

    Args:
        folder: The folder of an unfinished split.

    Returns:
        Statistics of the finished jobs, by job key.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "finished.jsonl").write_text('{"key": "a", "wid')
        ...     read_records(Path(folder))
        {}
    """
    return dict(iter_records(folder, _parse_stats))


def list_tile_files(stats: SplitStats, *, labeled: bool) -> list[str]:
    """List the image and label files of the tiles that a job wrote, relative to the output folder.

    Example:
        >>> list_tile_files(SplitStats(9, 8, 0, (), (), (Tile("a", 0, 0),)), labeled=True)
        ['images/a.png', 'labelTxt/a.txt']
    """
    files = [f"images/{tile.name}{stats.suffix}" for tile in stats.tiles]
    if labeled:
        files += [f"labelTxt/{tile.name}.txt" for tile in stats.tiles]
    return files


def encode_labels(labels: Labels) -> bytes:
    r"""Encode the labels of an image as bytes, for a digest: the objects and the ground resolution in the header.

    Example:
        >>> import numpy as np
        >>> encode_labels(Labels(np.zeros((0, 8)), (), np.zeros(0, int), np.zeros(0, int)))
        b'\x00\x00\x00'
    """
    names = "\0".join(labels.names).encode()
    fields = [labels.polygons.tobytes(), names, labels.difficult.tobytes(), labels.line_numbers.tobytes()]
    ground_resolution = parse_ground_resolution("\n".join(labels.header).encode())
    if ground_resolution is not None:
        fields.append(repr(ground_resolution).encode())
    return b"\0".join(fields)


def _parse_stats(values: dict[str, Any]) -> SplitStats:
    """Build statistics from the decoded JSON of a record. JSON has no tuples, so lists are converted to tuples."""
    tiles = tuple(Tile(**tile) for tile in values.pop("tiles"))
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return SplitStats(**fields, tiles=tiles)


def _compute_digest(job: SplitJob) -> str:
    """Compute a digest of the image of a job, its labels and the settings."""
    try:
        status = os.stat(job.image)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=job.image) from error
    # The name of the image is not resolved: two links to one file are two images, and their tiles have different names.
    path = job.image.parent.resolve() / job.image.name
    values = [__version__, asdict(job.settings), str(path), status.st_size, status.st_mtime_ns]
    digest = hashlib.sha256(json.dumps([*values, job.labels is None]).encode())
    if job.labels is not None:
        digest.update(encode_labels(job.labels))
    return digest.hexdigest()
