"""Cut folders of DOTA images and labels into tiles.

Reads every image once, in worker processes; writes ``images/``, ``labelTxt/`` and ``manifest.json`` into the output
folder, all of it or nothing. The rules and the defaults are those of mmrotate's ``img_split.py`` with the settings of
the published DOTA runs: the same input gives the same tiles, pixel for pixel, and the same objects.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rotated_atss.dota.classes import CLASSES, resolve_classes
from rotated_atss.dota.folders import pair_images_and_labels
from rotated_atss.dota.labels import Labels, read_labels
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, check_output_apart
from rotated_atss.io.images import estimate_decode_bytes
from rotated_atss.io.processes import MAX_MEMORY_BYTES, available_cores, run_jobs
from rotated_atss.io.progress import progress_bar
from rotated_atss.tiling.manifest import Source, SplitTotals, manifest_bytes, total
from rotated_atss.tiling.split_image import SplitJob, SplitStats, split_image
from rotated_atss.tiling.split_settings import PADDING_BGR, SplitSettings
from rotated_atss.tiling.staging import MANIFEST, staged

PathLike = str | Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitResult:
    """What a split wrote."""

    out: Path
    totals: SplitTotals
    seconds: float
    foreign_classes: tuple[str, ...] = ()  # that no version of DOTA has, where any class was accepted; sorted


def split_dota(
    images: PathLike | Sequence[PathLike],
    labels: PathLike | Sequence[PathLike] | None,
    out: PathLike,
    *,
    size: int | Sequence[int] = 1024,
    gap: int | Sequence[int] = 200,
    rates: float | Sequence[float] = (1.0,),
    iof_threshold: float = 0.7,
    image_ratio: float = 0.6,
    padding: Sequence[int] | None = PADDING_BGR,
    name_style: str = "mmrotate",
    image_format: str = "png",
    keep_empty: bool = True,
    classes: str | Sequence[str] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> SplitResult:
    """Cut the images of one or several folders into tiles.

    Args:
        images: Folders of images.
        labels: A folder of label files for each of them, in the same order; None where there are none (a test set).
        out: A new or empty folder.
        size, gap: Side of the windows and overlap of neighbours, pixels. Several sizes take one gap each, or share one.
        rates: Scales. In mmrotate's style a rate of 0.5 cuts windows of twice the size, without resampling; in the
            devkit's it halves the image.
        iof_threshold: An object belongs to the tiles that hold at least this share of its area.
        image_ratio: Windows must be filled by more than this share, unless none is.
        padding: BGR that fills tiles past the image's border; None leaves such tiles smaller.
        name_style: ``"mmrotate"``, ``P0001__1024__0___824``, or ``"devkit"``, ``P0001__0.5__0___824``.
        image_format: ``png``, ``jpg``, ``bmp`` or ``tif``.
        keep_empty: Write tiles without objects.
        classes: The class names that may occur, or a DOTA version (``"v1.0"``); None accepts all.
        workers: Processes; None takes one a core. The result does not depend on it.
        overwrite: Replace an earlier split in ``out``, finished or not. Other folders are never replaced.
        progress: Show a progress bar; None shows it on a terminal.

    Raises:
        UserError: Anything wrong with what was given. ``out`` is then as it was before.
    """
    started = time.perf_counter()
    sizes, gaps = _as_tuple(size), _as_tuple(gap)
    settings = SplitSettings(
        sizes=sizes,
        gaps=gaps * len(sizes) if len(gaps) == 1 else gaps,
        rates=tuple(float(rate) for rate in _as_tuple(rates)),
        iof_threshold=iof_threshold,
        image_ratio=image_ratio,
        padding=None if padding is None else tuple(padding),
        name_style=name_style,
        image_format=image_format,
        keep_empty=keep_empty,
    )
    folders = _pair_folders(_as_tuple(images), None if labels is None else _as_tuple(labels))
    check_output_apart(Path(out), [Path(folder) for pair in folders for folder in pair if folder is not None])
    if labels is None and not keep_empty:
        raise UserError("without labels no tile is known to be empty", hint="give the labels, or keep empty tiles")
    sources = _find_sources(folders)
    objects = _read_all_labels(sources, None if classes is None else resolve_classes(classes))
    with staged(Path(out), overwrite=overwrite) as folder:
        jobs = [SplitJob(source.image, held, folder, settings) for source, held in zip(sources, objects)]
        results = _split_all(jobs, available_cores() if workers is None else workers, progress)
        atomic_write(folder / MANIFEST, manifest_bytes(settings, folders, sources, results))
    _tell_without_area(sources, results)
    foreign = _foreign_classes(objects) if classes is None else ()
    return SplitResult(Path(out), total(results), time.perf_counter() - started, foreign)


def _pair_folders(images: Sequence[PathLike], labels: Sequence[PathLike] | None) -> list[tuple[str, str | None]]:
    """Every image folder as given with its label folder, or with None where there are no labels at all."""
    if not images:
        raise UserError("no image folder given", hint="--images FOLDER")
    if labels is None:
        return [(Path(folder).as_posix(), None) for folder in images]
    if len(images) != len(labels):
        hint = "give each --images its --labels, in the same order, or no --labels at all"
        raise UserError(f"{len(images)} image folders but {len(labels)} label folders", hint=hint)
    return [(Path(folder).as_posix(), Path(other).as_posix()) for folder, other in zip(images, labels)]


def _find_sources(folders: Sequence[tuple[str, str | None]]) -> list[Source]:
    """All images with their label files, sorted within each folder; an image id may occur once."""
    seen: dict[str, Path] = {}
    sources = []
    for number, (image_folder, label_folder) in enumerate(folders):
        for image, labels in pair_images_and_labels(image_folder, label_folder):
            other = seen.setdefault(image.stem, image)
            if other is not image:
                hint = "tiles are named after it: rename or remove one"
                raise UserError(f"the image id {image.stem} occurs twice, also as {other}", where=image, hint=hint)
            sources.append(Source(image, labels, number))
    return sources


def _read_all_labels(sources: Sequence[Source], classes: Sequence[str] | None) -> list[Labels | None]:
    """All labels before the first tile, so that a malformed line shows at once and not after minutes."""
    return [None if source.labels is None else read_labels(source.labels, classes) for source in sources]


def _foreign_classes(objects: Sequence[Labels | None]) -> tuple[str, ...]:
    known = set().union(*CLASSES.values())
    return tuple(sorted({name for labels in objects if labels is not None for name in labels.names} - known))


def _split_all(jobs: Sequence[SplitJob], workers: int, progress: bool | None) -> list[SplitStats]:
    """Run the jobs; their results in the order of the jobs."""
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, not {workers}")
    for folder in ("images",) if jobs[0].labels is None else ("images", "labelTxt"):
        (jobs[0].folder / folder).mkdir()
    done: dict[int, SplitStats] = {}
    sizes = [estimate_decode_bytes(job.image) for job in jobs]
    jobs = [replace(job, threads=_threads(size, len(jobs), workers)) for job, size in zip(jobs, sizes, strict=True)]
    finished = run_jobs(split_image, jobs, workers, sizes)
    with progress_bar(total=len(jobs), desc="split", unit="image", show=progress) as bar:
        for index, result in finished:
            done[index] = result
            bar.update()
    return [done[index] for index in range(len(jobs))]


def _threads(job_bytes: int, jobs: int, workers: int) -> int:
    """How many threads encode an image's tiles: more than one where memory or their number lets few images run at
    once.
    """
    at_once = min(workers, jobs, max(1, MAX_MEMORY_BYTES // job_bytes))
    return -(-workers // at_once)


def _tell_without_area(sources: Sequence[Source], results: Sequence[SplitStats]) -> None:
    lines = [f"{source.labels}:{line}" for source, result in zip(sources, results) for line in result.without_area]
    if lines:
        logger.warning("%d objects without area left out, the first at %s", len(lines), lines[0])


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, (int, float, str, Path)) else tuple(value)
