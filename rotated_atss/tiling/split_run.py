"""Run the unfinished jobs of a split in worker processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rotated_atss.errors import add_hint, count_of
from rotated_atss.io.processes import MAX_MEMORY_BYTES, run_jobs
from rotated_atss.io.progress import progress_bar
from rotated_atss.tiling.split_image import SplitJob, split_image
from rotated_atss.tiling.split_plan import divide_job, estimate_job_bytes
from rotated_atss.tiling.split_records import compute_job_keys
from rotated_atss.tiling.split_stats import SplitStats, merge_stats
from rotated_atss.tiling.staging import Stage


class SplitRun:
    """The jobs of a split, some of which may be finished.

    Args:
        image_jobs: One job per image. The jobs of large images are divided into one job per part.
        stage: Temporary folder with the records of finished jobs.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import cv2
        >>> import numpy as np
        >>> from rotated_atss.tiling.split_settings import SplitSettings
        >>> from rotated_atss.tiling.staging import staged
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "P1.png")
        ...     _ = cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))
        ...     with staged(Path(folder, "out"), {}, labeled=False) as stage:
        ...         run = SplitRun([SplitJob(path, None, stage.folder, SplitSettings())], stage)
        ...         run.execute(workers=1, scheduler=None, progress=False)
        ...         run.num_finished, len(run.stats()[0].tiles)
        (1, 1)
    """

    def __init__(self, image_jobs: Sequence[SplitJob], stage: Stage) -> None:
        self._stage = stage
        self._jobs_per_image = [divide_job(job) for job in image_jobs]
        # One call computes the keys of all parts, so that the digest of each image is computed only once.
        keys = iter(compute_job_keys([job for jobs in self._jobs_per_image for job in jobs]))
        self._keys_per_image = [[next(keys) for _ in jobs] for jobs in self._jobs_per_image]
        self.read_finished()

    def read_finished(self) -> None:
        """Read the records of the finished jobs, including those of other shards."""
        self._stage.resume({key for keys in self._keys_per_image for key in keys})

    @property
    def num_finished(self) -> int:
        """Number of finished images."""
        return sum(map(self._is_finished, range(len(self._jobs_per_image))))

    @property
    def num_images(self) -> int:
        """Number of all images."""
        return len(self._jobs_per_image)

    def execute(self, workers: int, scheduler: str | None, progress: bool | None) -> None:
        """Run the unfinished jobs; a shard runs only the jobs of its own images.

        Args:
            workers: Number of processes on this machine; not used with a scheduler.
            scheduler: Address of a Dask scheduler whose workers run the jobs; None runs them on this machine.
            progress: Show a progress bar; None shows it on a terminal.

        Raises:
            UserError: An image cannot be read, or a tile cannot be written. If some jobs are finished, this and every
                other exception gets a hint: running the same command again continues the split.
        """
        try:
            self._execute(workers, scheduler, progress)
        except BaseException as error:
            if self._stage.finished:
                progress_text = f"{self.num_finished} of {count_of(self.num_images, 'image')} finished"
                add_hint(error, f"{progress_text}; the same command continues")
            raise

    def _execute(self, workers: int, scheduler: str | None, progress: bool | None) -> None:
        unfinished = [
            (key, job)
            for index in self._images_of_shard()
            for key, job in zip(self._keys_per_image[index], self._jobs_per_image[index], strict=True)
            if key not in self._stage.finished
        ]
        job_bytes = [estimate_job_bytes(job) for _, job in unfinished]
        # A Dask worker already runs as many jobs at once as it has threads. Each job therefore gets only one thread,
        # which is what threads_per_job returns for one worker.
        workers = workers if scheduler is None else 1
        jobs = [
            replace(job, threads=threads_per_job(num_bytes, len(unfinished), workers))
            for (_, job), num_bytes in zip(unfinished, job_bytes, strict=True)
        ]
        is_divided = any(len(parts) > 1 for parts in self._jobs_per_image)
        unit = "part" if is_divided else "image"  # the bar counts jobs, and a divided image has one job per part
        with progress_bar(total=len(jobs), desc="split", unit=unit, show=progress) as bar:
            for index, stats in run_jobs(split_image, jobs, workers, job_bytes, scheduler=scheduler):
                key, _ = unfinished[index]
                self._stage.record(key, stats)
                bar.update()

    def stats(self) -> list[SplitStats | None]:
        """Return the statistics per image, in the order of the images; None for unfinished images."""
        return [
            merge_stats([self._stage.finished[key] for key in keys]) if self._is_finished(index) else None
            for index, keys in enumerate(self._keys_per_image)
        ]

    def _is_finished(self, index: int) -> bool:
        return all(key in self._stage.finished for key in self._keys_per_image[index])

    def _images_of_shard(self) -> Sequence[int]:
        """Return the indices of the images that this run splits, sorted by image id.

        A shard is one of n and takes every n-th image in this order. The order of the input therefore does not change
        which images a shard takes.
        """
        order = sorted(range(len(self._jobs_per_image)), key=lambda index: self._jobs_per_image[index][0].image.stem)
        return order if self._stage.shard is None else self._stage.shard.select(order)


def threads_per_job(job_bytes: int, num_jobs: int, workers: int) -> int:
    """Return the number of threads per job that keeps all cores busy.

    If the number of jobs or the memory limit allows fewer than ``workers`` jobs at the same time, each job uses several
    threads: ``workers / number of jobs at the same time``, rounded up.

    Args:
        job_bytes: Estimated memory of the job.
        num_jobs: Number of jobs.
        workers: Number of processes that may run at the same time, one per core.

    Example:
        >>> threads_per_job(job_bytes=1 << 30, num_jobs=1, workers=8)
        8
    """
    num_concurrent = min(workers, num_jobs, max(1, MAX_MEMORY_BYTES // job_bytes))
    return math.ceil(workers / num_concurrent)
