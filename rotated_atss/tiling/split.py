"""Split folders of DOTA images and labels into tiles.

Every image is read once, in worker processes; 16-bit images are read twice, as their used bits are counted first. The
output folder gets ``images/``, ``labelTxt/`` and ``manifest.json``, all of it or nothing. If the labels are not DOTA
text or their classes are renamed, ``labelTxt_full/`` has those of the full images. The rules and the defaults are those
of mmrotate's ``img_split.py`` with the settings of the published DOTA results: equal 8-bit input gives the same tiles,
pixel by pixel, with the same objects.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

from rotated_atss.dota.classes import CLASSES, resolve_classes
from rotated_atss.dota.folders import note_skipped_images
from rotated_atss.dota.labels import Labels, format_labels
from rotated_atss.errors import UserError, count_of, is_or_are
from rotated_atss.io.conversion import plan_conversion
from rotated_atss.io.files import atomic_write, check_output_apart, write_bytes
from rotated_atss.io.processes import available_cores
from rotated_atss.io.shards import Shard
from rotated_atss.tiling.finished_split import find_finished_split, input_digest
from rotated_atss.tiling.manifest import FULL_LABELS, MANIFEST, SplitTotals, manifest_bytes, sum_stats
from rotated_atss.tiling.source_images import SourceImage, find_source_images, pair_folders, read_image_lists
from rotated_atss.tiling.source_labels import AUTO, find_label_format, read_source_labels
from rotated_atss.tiling.split_image import SplitJob, SplitStats
from rotated_atss.tiling.split_plan import count_windows
from rotated_atss.tiling.split_records import describe_run
from rotated_atss.tiling.split_run import SplitRun
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.staging import Stage, remove_trash, staged

PathLike = str | Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitResult:
    """Result of a split.

    Attributes:
        out: The output folder.
        totals: Counts over all images and tiles.
        seconds: Wall time.
        unknown_classes: Class names of no DOTA version, sorted; empty if the classes were given.
        classes: Numbers of objects in the images and in the tiles, by class, sorted by name.
        in_no_tile: ``path:line class`` of the objects with area that belong to no tile.
        unfinished: Images that no shard has finished yet; the counts are those of the others.
        was_finished: Whether ``out`` had the result of an equal call already: nothing was written, and the counts by
            class are empty.
    """

    out: Path
    totals: SplitTotals
    seconds: float
    unknown_classes: tuple[str, ...] = ()
    classes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
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

    A call that is stopped at any time is continued by a call with equal arguments; images that changed in between are
    split again. A call whose result is in ``out`` already returns at once.

    Args:
        images: Image folder or folders.
        labels: Label folder or file per image folder, in the same order; None for unlabeled images (a test set).
        out: A new or empty folder.
        settings: Windows, tile format and thresholds; None uses the defaults of :class:`SplitSettings`.
        label_format: Format of the labels, a key of :data:`rotated_atss.label_formats.registry.FORMATS`, or ``auto``.
        classes: Accepted class names, a DOTA version (``"v1.0"``) or another dataset; None accepts any name.
        class_map: New class name by old name; an empty new name leaves a class out, ``*`` stands for all others.
            ``classes`` are the new names.
        fit_polygons: Replace polygons without four corners by their minimum-area rectangles.
        image_lists: Text files that name the images to split, one per line; None splits all of the folders.
        labeled_only: Leave out images without labels instead of raising.
        class_column: Column with the class, for labels in map coordinates; None takes the first of
            :data:`rotated_atss.label_formats.records.CLASS_KEYS`.
        class_name: Class of all objects, for labels in map coordinates; None reads the column.
        workers: Processes; None uses one per core. The output does not depend on it.
        scheduler: Address of a Dask scheduler whose workers split the images instead; paths must be absolute then.
        overwrite: Replace an earlier split in ``out``, and an unfinished one of other settings. Other folders are never
            replaced.
        shard: Split a part of the images only; the run that finishes the last image of all shards completes ``out``.
        progress: Show a progress bar; None shows it on a terminal.
        on_start: Called with the numbers of images and of windows before the first image is split.
        on_continue: Called with the numbers of finished and of all images, if an earlier run finished any.

    Returns:
        Counts, duration and unknown classes.

    Raises:
        UserError: An input is invalid, or a tile cannot be written. ``out`` is unchanged then, but for the folder
            ``split.partial`` with the finished images, from which the next call with equal arguments continues.

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
    settings = SplitSettings() if settings is None else settings
    folders = pair_folders(_as_tuple(images), None if labels is None else _as_tuple(labels))
    check_output_apart(Path(out), [Path(folder) for pair in folders for folder in pair if folder is not None])
    if labels is None and not settings.keep_empty:
        raise UserError("empty tiles cannot be dropped without labels", hint="give the labels, or keep empty tiles")
    data = _read_input(
        folders, label_format, image_lists, classes, labeled_only=labeled_only, class_map=class_map,
        fit_polygons=fit_polygons, class_column=class_column, class_name=class_name,
    )  # fmt: skip
    workers = available_cores() if workers is None else workers
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, got {workers}")
    for image_folder, _ in folders:
        for note in note_skipped_images(image_folder):
            logger.warning("%s", note)
    digest = input_digest(settings, data.sources, data.label_sets, data.formats)
    finished = None if overwrite else find_finished_split(Path(out), digest, data.sources)
    if finished is not None and finished.totals is not None:
        remove_trash(Path(out))
        return SplitResult(Path(out), finished.totals, time.perf_counter() - started, was_finished=True)
    run_description = describe_run(settings, folders)
    with staged(Path(out), run_description, labeled=labels is not None, overwrite=overwrite, shard=shard) as stage:
        conversion = plan_conversion([source.image for source in data.sources], settings.pixels, workers)
        for note in conversion.notes:
            logger.warning("%s", note)
        settings = replace(settings, **asdict(conversion.options))
        jobs = [SplitJob(source.image, label_set, stage.folder, settings) for source, label_set in data.pairs()]
        run = SplitRun(jobs, stage)
        if on_start is not None:
            on_start(len(jobs), sum(count_windows(job.image, settings) for job in jobs))
        if on_continue is not None and run.num_finished:
            on_continue(run.num_finished, len(jobs))
        if not stage.is_moving:
            run.execute(workers, scheduler, progress)
        with stage.exclusive() as present:
            if present:
                _finish(stage, run, settings, data, digest)
    return _result(Path(out), data, run, time.perf_counter() - started, named=classes is not None)


@dataclass(frozen=True)
class _Input:
    """Images and labels to split; formats and folders by index of the folder, the rest by image.

    ``renamed`` says whether classes were renamed.
    """

    folders: Sequence[tuple[str, str | None]]
    formats: Sequence[str | None]
    sources: Sequence[SourceImage]
    label_sets: Sequence[Labels | None]
    renamed: bool

    def pairs(self) -> Iterator[tuple[SourceImage, Labels | None]]:
        """Return every image with its labels."""
        return zip(self.sources, self.label_sets, strict=True)

    def select(self, keep: Sequence[bool]) -> _Input:
        """Return the images for which ``keep`` is True, with their labels."""
        return replace(
            self, sources=list(compress(self.sources, keep)), label_sets=list(compress(self.label_sets, keep))
        )


def _read_input(
    folders: Sequence[tuple[str, str | None]],
    label_format: str,
    image_lists: PathLike | Sequence[PathLike] | None,
    classes: str | Sequence[str] | None,
    *,
    labeled_only: bool,
    class_map: Mapping[str, str] | None,
    **options: Any,
) -> _Input:
    """List the images and read all labels, so that a malformed line is reported before the images are split."""
    formats = [None if label is None else find_label_format(label, label_format) for _, label in folders]
    only = None if image_lists is None else read_image_lists(_as_tuple(image_lists))
    sources = find_source_images(folders, formats, only, labeled_only=labeled_only)
    accepted = None if classes is None else resolve_classes(classes)
    options |= {"class_map": class_map, "labeled_only": labeled_only, "skip_others": only is not None}
    data = _Input(
        folders, formats, sources, _read_all(sources, folders, formats, accepted, **options), class_map is not None
    )
    if not labeled_only or folders[0][1] is None:
        return data
    data = data.select([labels is not None for labels in data.label_sets])
    if not data.sources:
        raise UserError("no image has labels", where=str(folders[0][0]), hint=f"labels are in {folders[0][1]}")
    return data


def _result(out: Path, data: _Input, run: SplitRun, seconds: float, *, named: bool) -> SplitResult:
    """Count what is finished; ``named`` says whether the classes were given."""
    by_image = run.stats()
    data, stats = data.select([each is not None for each in by_image]), [each for each in by_image if each is not None]
    _warn_without_area(data.sources, stats)
    return SplitResult(
        out, sum_stats(stats), seconds, () if named else _unknown_classes(data.label_sets),
        _count_classes(data.label_sets, stats), tuple(_objects_in_no_tile(data.sources, data.label_sets, stats)),
        run.num_images - len(stats),
    )  # fmt: skip


def _finish(stage: Stage, run: SplitRun, settings: SplitSettings, data: _Input, digest: str) -> None:
    """Write the manifest and move the split into place, unless images of other shards are unfinished."""
    if stage.shard is not None:
        run.update()
    stats = [each for each in run.stats() if each is not None]
    if stage.is_moving and len(stats) < run.num_images:
        stage.commit()
        what = "the output folder contains a finished split of other images or labels"
        raise UserError(what, where=stage.out, hint="pass --overwrite to replace it")
    if len(stats) < run.num_images:
        return
    if not stage.is_moving:
        _check_tiles(stage.folder, stats, labeled=stage.labeled)
        _write_manifest(stage, stats, settings, data, digest)
    stage.commit()


def _write_manifest(
    stage: Stage, stats: Sequence[SplitStats], settings: SplitSettings, data: _Input, digest: str
) -> None:
    """Write the manifest and, where evaluation cannot read the labels of the full images themselves, a copy of them."""
    full_labels = None
    if stage.labeled and settings.whole_images:
        full_labels = "labelTxt"
    elif stage.labeled and (data.renamed or set(data.formats) != {"dota"}):
        full_labels = FULL_LABELS
        _write_full_labels(stage.folder / FULL_LABELS, data)
    manifest = manifest_bytes(
        settings, data.folders, data.sources, stats, stage.out, data.formats, full_labels, digest
    )  # fmt: skip
    atomic_write(stage.folder / MANIFEST, manifest)


def _read_all(
    sources: Sequence[SourceImage],
    folders: Sequence[tuple[str, str | None]],
    formats: Sequence[str | None],
    classes: Sequence[str] | None,
    **options: Any,
) -> list[Labels | None]:
    """Return the labels per image, in the order of ``sources``, which is that of the folders."""
    label_sets: list[Labels | None] = []
    for index, ((image_folder, labels), name) in enumerate(zip(folders, formats, strict=True)):
        inside = [source for source in sources if source.folder == index]
        if labels is None or name is None:
            label_sets += [None] * len(inside)
        else:
            label_sets += read_source_labels(inside, image_folder, labels, name, classes, **options)
    return label_sets


def _write_full_labels(folder: Path, data: _Input) -> None:
    """Write the labels of the full images as DOTA text, for the evaluation of merged detections."""
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped before it wrote the manifest
    folder.mkdir()
    for source, labels in data.pairs():
        if labels is not None:
            text = format_labels(labels.polygons, labels.names, labels.difficult)
            write_bytes(folder / f"{source.image_id}.txt", text)


def _unknown_classes(label_sets: Sequence[Labels | None]) -> tuple[str, ...]:
    known = set().union(*CLASSES.values())
    return tuple(sorted({name for labels in label_sets if labels is not None for name in labels.names} - known))


def _count_classes(label_sets: Sequence[Labels | None], stats: Sequence[SplitStats]) -> dict[str, tuple[int, int]]:
    """Return the numbers of objects in the images and in the tiles by class."""
    in_images: Counter[str] = Counter()
    in_tiles: Counter[str] = Counter()
    for labels, image_stats in zip(label_sets, stats, strict=True):
        for name, tiles in zip(labels.names if labels is not None else (), image_stats.tiles_per_object):
            in_images[name] += 1
            in_tiles[name] += tiles
    return {name: (in_images[name], in_tiles[name]) for name in sorted(in_images)}


def _objects_in_no_tile(
    sources: Sequence[SourceImage], label_sets: Sequence[Labels | None], stats: Sequence[SplitStats]
) -> Iterator[str]:
    for source, labels, image_stats in zip(sources, label_sets, stats, strict=True):
        if labels is not None:
            for row in image_stats.in_no_tile:
                yield f"{_object_place(source, int(labels.line_numbers[row]))} {labels.names[row]}"


def _object_place(source: SourceImage, line: int) -> str:
    """Return ``path:line`` of an object, or the path for a label format without lines."""
    return f"{source.labels}:{line}" if line else f"{source.labels}"


def _check_tiles(folder: Path, stats: Sequence[SplitStats], *, labeled: bool) -> None:
    """Compare the written files with the tiles that go into the manifest.

    Raises:
        UserError: A tile is missing or foreign, because another program changed the folder during the run.
    """
    images = {f"{tile.name}{image_stats.suffix}" for image_stats in stats for tile in image_stats.tiles}
    texts = {f"{tile.name}.txt" for image_stats in stats for tile in image_stats.tiles}
    for part, expected in (("images", images), ("labelTxt", texts)) if labeled else (("images", images),):
        found = set(os.listdir(folder / part))
        if found != expected:
            missing, foreign = len(expected - found), len(found - expected)
            what = (
                f"{missing} of {len(expected)} written files {is_or_are(missing)} missing and {foreign} "
                f"{is_or_are(foreign)} foreign, such as {min(found ^ expected)}"
            )
            hint = "another program changed the folder during the run: split again"
            raise UserError(what, where=folder / part, hint=hint)


def _warn_without_area(sources: Sequence[SourceImage], stats: Sequence[SplitStats]) -> None:
    places = [
        _object_place(source, line) for source, image_stats in zip(sources, stats) for line in image_stats.without_area
    ]
    if places:
        objects = count_of(len(places), "object")
        logger.warning("%s without area left out, the first at %s", objects, places[0])


def _as_tuple(value: PathLike | Sequence[PathLike]) -> tuple[PathLike, ...]:
    return (value,) if isinstance(value, (str, Path)) else tuple(value)
