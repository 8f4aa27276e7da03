"""``predict --scheduler``: one job per image on the workers of a Dask cluster, which keep the model in memory."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotated_atss.cli._detectors import load_any_detector
from rotated_atss.errors import UserError

_detectors: dict[str, Any] = {}  # the model loaded last by this process, by file and options
_lock = threading.Lock()  # a worker runs several jobs in threads, of which one loads the model


@dataclass(frozen=True)
class ModelSource:
    """What a worker needs to load the model: the arguments of :func:`load_any_detector`.

    Attributes:
        config: Path or name of a config; None for a model file that records it.
        checkpoint: The model file.
        args: Parsed arguments.
        options: Changes to the config by dotted key.
    """

    config: str | None
    checkpoint: str
    args: argparse.Namespace
    options: Mapping[str, Any]

    def load_once(self) -> Any:
        """Return the detector. It is loaded unless this process has loaded the same file with the same options last."""
        status = os.stat(self.checkpoint)  # shows whether the file was replaced
        args = self.args
        settings = (self.config, dict(self.options), args.device, args.amp, args.channels_last, args.fast)
        key = repr((self.checkpoint, status.st_mtime_ns, status.st_size, settings))
        with _lock:
            if key not in _detectors:
                _detectors.clear()  # one model fits in memory
                _detectors[key] = load_any_detector(self.config, self.checkpoint, args, self.options)
            return _detectors[key]


@dataclass(frozen=True)
class ImageJob:
    """An image to predict.

    Attributes:
        model: The model.
        predict: Called with ``detector`` and ``path``; writes the results to a file system that the workers share.
        path: The image.
    """

    model: ModelSource
    predict: Callable[..., None]
    path: Path


def predict_on_worker(job: ImageJob) -> UserError | None:
    """Predict one image. Return its error if it cannot be read, otherwise None."""
    detector = job.model.load_once()
    try:
        job.predict(detector=detector, path=job.path)
    except UserError as error:
        return error
    return None


def predict_on_cluster(
    model: ModelSource, predict: Callable[..., None], paths: Sequence[Path], scheduler: str
) -> list[UserError]:
    """Predict images on the workers of a Dask cluster; report the error of an image and continue with the next.

    Args:
        model: The model, whose paths are absolute.
        predict: Picklable function of ``detector`` and ``path``.
        paths: Image files, absolute.
        scheduler: Address of the scheduler.

    Returns:
        The errors.
    """
    from rotated_atss.io.images import estimate_decode_bytes
    from rotated_atss.io.processes import run_jobs
    from rotated_atss.io.progress import print_above_bar, progress_bar

    jobs = [ImageJob(model, predict, path) for path in paths]
    failures = []
    with progress_bar(total=len(jobs), desc="predict", unit="image") as bar:
        sizes = list(map(estimate_decode_bytes, paths))
        # the number of local processes has no effect with a scheduler
        for _, error in run_jobs(predict_on_worker, jobs, workers=1, job_bytes=sizes, scheduler=scheduler):
            bar.update()
            if error is not None:
                failures.append(error)
                print_above_bar(f"rotated-atss predict: error: {error}")
    return failures
