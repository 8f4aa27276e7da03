"""Split folders of DOTA images and labels into tiles.

When all images are split, ``images/``, ``labelTxt/`` and ``manifest.json`` are moved into the output folder. If the
labels are not DOTA text, or if their classes are renamed, the labels of the full images are also written as DOTA text,
to ``labelTxt_full/``. Every image is read once, in worker processes. Images that are not 8-bit need a common scaling to
8 bits; unless the scaling is given, they are read twice, the first time to determine it.

The rules and the defaults are those of mmrotate's ``img_split.py`` with the settings of the published DOTA results:
from the same 8-bit images, this module and ``img_split.py`` make the same tiles, pixel by pixel, with the same objects.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.folders import note_skipped_images
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.conversion import plan_conversion
from rotated_atss.io.files import reject_overlapping_output
from rotated_atss.io.processes import available_cores
from rotated_atss.io.shards import Shard
from rotated_atss.tiling.finished_split import compute_input_digest, find_finished_split
from rotated_atss.tiling.source_images import SourceImage, pair_folders
from rotated_atss.tiling.source_labels import AUTO
from rotated_atss.tiling.split_image import SplitJob
from rotated_atss.tiling.split_input import SplitInput, read_split_input
from rotated_atss.tiling.split_output import finish_split
from rotated_atss.tiling.split_plan import count_windows
from rotated_atss.tiling.split_records import describe_run
from rotated_atss.tiling.split_run import SplitRun
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.split_stats import SplitStats, SplitTotals, sum_stats
from rotated_atss.tiling.staging import remove_leftovers, staged

PathLike = str | Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitResult:
    """Result of a split.

    Attributes:
        out: The output folder.
        totals: Counts over all images and tiles.
        seconds: Wall time.
        unknown_classes: Class names in the labels that are in no DOTA version, sorted; empty if the classes were given.
        class_counts: By class name, sorted: the number of objects in the images and the number of objects in the tiles.
            The second number counts an object once for each tile to which it belongs.
        in_no_tile: ``path:line class`` of the objects that have an area and belong to no tile.
        unfinished: Number of images that no shard has finished yet. The other counts cover only the finished images.
        was_finished: Whether ``out`` already contained the result of a call with equal arguments. If so, nothing was
            written, and ``totals`` is the only count that is set.
    """

    out: Path
    totals: SplitTotals
    seconds: float
    unknown_classes: tuple[str, ...] = ()
    class_counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    in_no_tile: tuple[str, ...] = ()
    unfinished: int = 0
    was_finished: bool = False


def split_dota(
    images: PathLike | Sequence[PathLike],
    labels: PathLike | Sequence[PathLike] | None,
    out: PathLike,
    settings: SplitSettings | None = None,
    *,
    label_format: str = AUTO,
    classes: str | Sequence[str] | None = None,
    class_map: Mapping[str, str] | None = None,
    fit_polygons: bool = False,
    image_lists: PathLike | Sequence[PathLike] | None = None,
    labeled_only: bool = False,
    class_column: str | None = None,
    class_name: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    shard: Shard | None = None,
    progress: bool | None = None,
    on_start: Callable[[int, int], None] | None = None,
    on_continue: Callable[[int, int], None] | None = None,
) -> SplitResult:
    """Split the images of one or several folders into tiles.

    If a call is stopped, a call with equal arguments continues it; images that changed in between are split again. If
    ``out`` already contains the result of a call with equal arguments, the call returns at once.

    Args:
        images: Image folder or folders.
        labels: Label folder or file per image folder, in the same order; None for unlabeled images, such as a test set.
        out: A new or empty folder, or the output folder of a call with equal arguments; see also ``overwrite``.
        settings: Windows, tile format and thresholds; None uses the defaults of :class:`SplitSettings`.
        label_format: Format of the labels, a key of :data:`rotated_atss.label_formats.registry.FORMATS`, or ``auto``.
        classes: Accepted class names, or a string for :func:`rotated_atss.dota.classes.resolve_classes`, such as a DOTA
            version (``"v1.0"``); None accepts any name.
        class_map: New class name by old name. An empty new name leaves the class out. The old name ``*`` stands for all
            classes that are not listed. ``classes`` applies to the new names.
        fit_polygons: Replace polygons without four corners by their minimum-area rectangles.
        image_lists: Text files that name the images to split, one per line; None splits all images of the folders.
        labeled_only: Leave out images without labels instead of raising.
        class_column: Column with the class, for labels in map coordinates; None takes the first of
            :data:`rotated_atss.label_formats.records.CLASS_KEYS`.
        class_name: Class of all objects, for labels in map coordinates; None reads the column.
        workers: Number of processes; None uses one per core. The output does not depend on this number.
        scheduler: Address of a Dask scheduler. Its workers then split the images instead of processes on this computer,
            and all paths must be absolute.
        overwrite: Replace an earlier split in ``out``, even an unfinished one with other settings. Folders with other
            content are never replaced.
        shard: The part of the images that this call splits; the call that finishes the last image of all parts
            completes ``out``. None splits all images.
        progress: Show a progress bar; None shows it on a terminal.
        on_start: Called with the number of images and the number of windows before the first image is split.
        on_continue: Called with the number of finished images and the number of all images, if an earlier run has
            finished some.

    Returns:
        Counts, duration and unknown classes.

    Raises:
        UserError: An input is invalid, or a tile cannot be written. ``out`` is then unchanged, except that its folder
            ``split.partial`` contains the finished images, from which a call with equal arguments continues.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "images").mkdir()
        ...     _ = cv2.imwrite(f"{folder}/images/P1.png", np.zeros((40, 60, 3), np.uint8))
        ...     settings = SplitSettings(sizes=[32], gaps=[8])
        ...     result = split_dota(f"{folder}/images", None, f"{folder}/out", settings, workers=1, progress=False)
        >>> result.totals.tiles
        6
    """
    started = time.perf_counter()
    out, settings = Path(out), SplitSettings() if settings is None else settings
    workers = available_cores() if workers is None else workers
    folders = _pair_folders(images, labels, out, settings)
    data = read_split_input(
        folders, label_format, classes=classes, class_map=class_map, fit_polygons=fit_polygons,
        image_lists=None if image_lists is None else _as_tuple(image_lists), labeled_only=labeled_only,
        class_column=class_column, class_name=class_name,
    )  # fmt: skip
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, got {workers}")
    _warn_skipped_images(folders)
    digest = compute_input_digest(settings, data.sources, data.labels_per_image, data.formats)
    finished = None if overwrite else find_finished_split(out, digest, data.sources)
    if finished is not None and finished.totals is not None:
        remove_leftovers(out)
        return SplitResult(out, finished.totals, time.perf_counter() - started, was_finished=True)
    run_description = describe_run(settings, folders)
    with staged(out, run_description, labeled=labels is not None, overwrite=overwrite, shard=shard) as stage:
        resolved = _resolve_scaling(settings, data, workers)
        jobs = [SplitJob(source.image, image_labels, stage.folder, resolved) for source, image_labels in data.pairs()]
        run = SplitRun(jobs, stage)
        _report_start(run, data, resolved, on_start, on_continue)
        if not stage.is_moving:  # otherwise an earlier run finished all jobs and was stopped during the final move
            run.execute(workers, scheduler, progress)
        with stage.exclusive() as is_present:
            if is_present:  # no other shard has moved the split yet
                finish_split(stage, run, resolved, data, digest)
    return _build_result(out, data, run, time.perf_counter() - started, classes_given=classes is not None)


def _pair_folders(
    images: PathLike | Sequence[PathLike],
    labels: PathLike | Sequence[PathLike] | None,
    out: Path,
    settings: SplitSettings,
) -> list[tuple[str, str | None]]:
    """Pair image and label folders, and check them against the output folder and the settings."""
    folders = pair_folders(_as_tuple(images), None if labels is None else _as_tuple(labels))
    reject_overlapping_output(out, [Path(folder) for pair in folders for folder in pair if folder is not None])
    if labels is None and not settings.keep_empty:
        raise UserError("empty tiles cannot be dropped without labels", hint="give the labels, or keep empty tiles")
    return folders


def _warn_skipped_images(folders: Sequence[tuple[str, str | None]]) -> None:
    for image_folder, _ in folders:
        for note in note_skipped_images(image_folder):
            logger.warning("%s", note)


def _resolve_scaling(settings: SplitSettings, data: SplitInput, workers: int) -> SplitSettings:
    """Replace automatic scaling in the settings by limits in numbers, the same for all images; log the conversions."""
    conversion = plan_conversion([source.image for source in data.sources], settings.pixels, workers)
    for note in conversion.notes:
        logger.warning("%s", note)
    return replace(settings, **asdict(conversion.options))


def _report_start(
    run: SplitRun,
    data: SplitInput,
    settings: SplitSettings,
    on_start: Callable[[int, int], None] | None,
    on_continue: Callable[[int, int], None] | None,
) -> None:
    """Call ``on_start`` and, if some images are finished already, ``on_continue``."""
    if on_start is not None:
        on_start(run.num_images, sum(count_windows(source.image, settings) for source in data.sources))
    if on_continue is not None and run.num_finished:
        on_continue(run.num_finished, run.num_images)


def _build_result(out: Path, data: SplitInput, run: SplitRun, seconds: float, *, classes_given: bool) -> SplitResult:
    """Count the finished images, their objects and their tiles."""
    stats_or_none = run.stats()
    finished = data.select([image_stats is not None for image_stats in stats_or_none])
    stats = [image_stats for image_stats in stats_or_none if image_stats is not None]
    _warn_about_zero_area(finished, stats)
    return SplitResult(
        out=out,
        totals=sum_stats(stats),
        seconds=seconds,
        unknown_classes=() if classes_given else _find_unknown_classes(finished),
        class_counts=_count_objects(finished, stats),
        in_no_tile=tuple(_iter_objects_in_no_tile(finished, stats)),
        unfinished=run.num_images - len(stats),
    )


def _find_unknown_classes(data: SplitInput) -> tuple[str, ...]:
    """Return the class names in the labels that are in no DOTA version, sorted."""
    known = set().union(*CLASSES.values())
    names = {name for labels in data.labels_per_image if labels is not None for name in labels.names}
    return tuple(sorted(names - known))


def _count_objects(data: SplitInput, stats: Sequence[SplitStats]) -> dict[str, tuple[int, int]]:
    """Return the number of objects in the images and the number in the tiles, by class name."""
    in_images: Counter[str] = Counter()
    in_tiles: Counter[str] = Counter()
    for labels, image_stats in zip(data.labels_per_image, stats, strict=True):
        if labels is not None:
            for name, num_tiles in zip(labels.names, image_stats.tiles_per_object):
                in_images[name] += 1
                in_tiles[name] += num_tiles
    return {name: (in_images[name], in_tiles[name]) for name in sorted(in_images)}


def _iter_objects_in_no_tile(data: SplitInput, stats: Sequence[SplitStats]) -> Iterator[str]:
    """Yield ``path:line class`` of the objects that have an area and belong to no tile."""
    for (source, labels), image_stats in zip(data.pairs(), stats, strict=True):
        if labels is not None:
            for index in image_stats.in_no_tile:
                yield f"{_format_place(source, int(labels.line_numbers[index]))} {labels.names[index]}"


def _warn_about_zero_area(data: SplitInput, stats: Sequence[SplitStats]) -> None:
    """Log how many objects are left out because they have no area, and the place of the first one."""
    places = [
        _format_place(source, line)
        for source, image_stats in zip(data.sources, stats, strict=True)
        for line in image_stats.without_area
    ]
    if places:
        objects = count_of(len(places), "object")
        logger.warning("left out %s without area, the first at %s", objects, places[0])


def _format_place(source: SourceImage, line: int) -> str:
    """Return the place of a label as ``path:line``, or as the path if the label format has no lines (line 0)."""
    return f"{source.label_path}:{line}" if line else f"{source.label_path}"


def _as_tuple(value: PathLike | Sequence[PathLike]) -> tuple[PathLike, ...]:
    return (value,) if isinstance(value, (str, Path)) else tuple(value)
