"""``predict --scheduler``: detect objects on the workers of a Dask cluster, with one job per image.

A worker keeps the model in memory for its next jobs.
"""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._detectors import load_any_detector
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.detection.engine.inference import LoadedDetector
    from rotated_atss.runtime import GraphDetector

# The detector that this process loaded last, by a key of its file and options. There is at most one entry.
_detectors: dict[str, LoadedDetector | GraphDetector] = {}
_lock = threading.Lock()  # a worker runs several jobs in threads; without a lock, each could load the model


@dataclass(frozen=True)
class ModelSource:
    """The arguments with which a worker calls :func:`load_any_detector`.

    Attributes:
        config: Path or name of a config; None for a model file that contains it.
        checkpoint: The model file.
        args: Parsed arguments of ``predict``, with the options for the device and for faster inference.
        cfg_options: Changes to the config by dotted key.
    """

    config: str | None
    checkpoint: str
    args: argparse.Namespace
    cfg_options: Mapping[str, Any]

    def load_once(self) -> LoadedDetector | GraphDetector:
        """Return the detector. If this process loaded it last, with the same options, it is not loaded again."""
        status = os.stat(self.checkpoint)  # time and size differ if the file was replaced
        args = self.args
        settings = (self.config, dict(self.cfg_options), args.device, args.amp, args.channels_last, args.fast)
        key = repr((self.checkpoint, status.st_mtime_ns, status.st_size, settings))
        with _lock:
            if key not in _detectors:
                _detectors.clear()  # two models might not fit in memory
                _detectors[key] = load_any_detector(self.config, self.checkpoint, args, self.cfg_options)
            return _detectors[key]


@dataclass(frozen=True)
class ImageJob:
    """One image for a worker to process.

    Attributes:
        model: The model file and the options for loading it.
        predict: Picklable function of ``detector`` and ``path`` that detects objects on an image, and writes the
            results to a file system that the workers share.
        path: The image file.
    """

    model: ModelSource
    predict: Callable[..., None]
    path: Path


def predict_on_worker(job: ImageJob) -> UserError | None:
    """Detect objects on one image. Return the error if the image cannot be processed, otherwise None.

    The error is not raised, because ``run_jobs`` starts no further jobs after an exception.
    """
    detector = job.model.load_once()
    try:
        job.predict(detector=detector, path=job.path)
    except UserError as error:
        return error
    return None


def predict_on_cluster(
    model: ModelSource, predict: Callable[..., None], paths: Sequence[Path], scheduler: str
) -> list[UserError]:
    """Detect objects on images with the workers of a Dask cluster; if an image fails, print its error and continue.

    Args:
        model: The model file and the options for loading it, with absolute paths.
        predict: The function of :class:`ImageJob`.
        paths: Image files, absolute.
        scheduler: Address of the scheduler.

    Returns:
        The errors, in the order in which they occurred.
    """
    from rotated_atss.io.images import estimate_decode_bytes
    from rotated_atss.io.processes import run_jobs
    from rotated_atss.io.progress import print_above_bar, progress_bar

    jobs = [ImageJob(model, predict, path) for path in paths]
    failures = []
    with progress_bar(total=len(jobs), desc="predict", unit="image") as bar:
        job_bytes = list(map(estimate_decode_bytes, paths))  # estimated memory of each job
        # with a scheduler, `workers` (the number of local processes) has no effect
        for _, error in run_jobs(predict_on_worker, jobs, workers=1, job_bytes=job_bytes, scheduler=scheduler):
            bar.update()
            if error is not None:
                failures.append(error)
                print_above_bar(f"rotated-atss predict: error: {error}")
    return failures
