"""Finish a split: check its files, write the manifest, and move everything into the output folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from rotated_atss.dota.labels import format_labels
from rotated_atss.errors import UserError, is_or_are
from rotated_atss.io.files import atomic_write, write_bytes
from rotated_atss.tiling.manifest import FULL_LABELS, MANIFEST
from rotated_atss.tiling.manifest_writer import format_manifest
from rotated_atss.tiling.split_input import SplitInput
from rotated_atss.tiling.split_run import SplitRun
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.split_stats import SplitStats
from rotated_atss.tiling.staging import Stage


def finish_split(stage: Stage, run: SplitRun, settings: SplitSettings, data: SplitInput, digest: str) -> None:
    """Write the manifest and move the split into place, unless images of other shards are unfinished.

    Args:
        stage: The temporary folder, locked with :meth:`rotated_atss.tiling.staging.Stage.exclusive`.
        run: The jobs of the split.
        settings: The settings. If they scale pixel values automatically, they contain the limits that were found.
        data: Images and labels.
        digest: Digest of the input (:func:`rotated_atss.tiling.finished_split.compute_input_digest`).

    Raises:
        UserError: Another program changed the temporary folder; or the temporary folder is from a stopped run that had
            split other images or labels and was moving its result.

    Example::

        with stage.exclusive() as is_present:
            if is_present:  # no other shard has already moved the split
                finish_split(stage, run, settings, data, digest)
    """
    if stage.shard is not None:
        run.read_finished()  # images that other shards have finished in the meantime
    stats = [image_stats for image_stats in run.stats() if image_stats is not None]  # None: the image is unfinished
    is_finished = len(stats) == run.num_images
    if stage.is_moving and not is_finished:
        # Only a complete split is moved. The images of this run are not complete, so an earlier run, which split other
        # images or labels, was stopped while it moved its result. Complete the move, so that this result is not lost.
        stage.commit()
        what = "the output folder contains a finished split of other images or labels"
        raise UserError(what, where=stage.out, hint="pass --overwrite to replace it")
    if not is_finished:
        return
    if not stage.is_moving:  # otherwise the manifest exists, and some tiles are already in the output folder
        _check_tiles(stage.folder, stats, labeled=stage.labeled)
        _write_manifest(stage, stats, settings, data, digest)
    stage.commit()


def _check_tiles(folder: Path, stats: Sequence[SplitStats], *, labeled: bool) -> None:
    """Compare the written files with the tiles that go into the manifest.

    Raises:
        UserError: A file is missing or unexpected, because another program changed the folder during the run.
    """
    expected_files = {
        "images": {f"{tile.name}{image_stats.suffix}" for image_stats in stats for tile in image_stats.tiles}
    }
    if labeled:
        expected_files["labelTxt"] = {f"{tile.name}.txt" for image_stats in stats for tile in image_stats.tiles}
    for subfolder, expected in expected_files.items():
        written = set(os.listdir(folder / subfolder))
        if written != expected:
            missing, unexpected = len(expected - written), len(written - expected)
            what = (
                f"{missing} of {len(expected)} expected files {is_or_are(missing)} missing and {unexpected} "
                f"{is_or_are(unexpected)} unexpected, such as {min(written ^ expected)}"
            )
            hint = "another program changed the folder during the run: split again"
            raise UserError(what, where=folder / subfolder, hint=hint)


def _write_manifest(
    stage: Stage, stats: Sequence[SplitStats], settings: SplitSettings, data: SplitInput, digest: str
) -> None:
    """Write the manifest. If evaluation cannot use the source labels as they are, also write them as DOTA text."""
    full_labels = None  # evaluation uses the source labels
    if stage.labeled and settings.whole_images:
        full_labels = "labelTxt"  # the tiles are the full images
    elif stage.labeled and (data.has_renamed_classes or set(data.formats) != {"dota"}):
        full_labels = FULL_LABELS
        _write_full_labels(stage.folder / FULL_LABELS, data)
    manifest = format_manifest(
        settings, data.folders, data.sources, stats, stage.out, data.formats, full_labels, digest
    )  # fmt: skip
    atomic_write(stage.folder / MANIFEST, manifest)


def _write_full_labels(folder: Path, data: SplitInput) -> None:
    """Write the labels of the full images as DOTA text, for the evaluation of merged detections."""
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that was stopped before it wrote the manifest
    folder.mkdir()
    for source, labels in data.pairs():
        if labels is not None:
            text = format_labels(labels.polygons, labels.names, labels.difficult)
            write_bytes(folder / f"{source.image_id}.txt", text)
