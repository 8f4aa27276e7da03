"""Recognize a finished split by a digest of its input, so that repeating the command does not split again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rotated_atss import __version__
from rotated_atss.dota.labels import Labels
from rotated_atss.errors import UserError
from rotated_atss.tiling.manifest import MANIFEST, Manifest, read_manifest
from rotated_atss.tiling.source_images import SourceImage
from rotated_atss.tiling.split_records import encode_labels
from rotated_atss.tiling.split_settings import SplitSettings


def compute_input_digest(
    settings: SplitSettings,
    sources: Sequence[SourceImage],
    labels_per_image: Sequence[Labels | None],
    formats: Sequence[str | None],
) -> str:
    """Compute a digest of the input of a split. The digest does not depend on the location of the folders.

    Args:
        settings: The settings as given, before automatic values are determined.
        sources: The images. Their content is not read; the digest contains only their names and sizes in bytes. Changes
            that keep the size are noticed by :func:`find_finished_split`, which checks the modification times.
        labels_per_image: Labels per image; None for unlabeled images.
        formats: Label format per image folder; None for a folder of unlabeled images.

    Raises:
        UserError: An image cannot be read.

    Example:
        >>> digest = compute_input_digest(SplitSettings(), [], [], [])
        >>> digest == compute_input_digest(SplitSettings(sizes=[512]), [], [], [])
        False
    """
    digest = hashlib.sha256(json.dumps([__version__, asdict(settings), list(formats)]).encode())
    for source, labels in zip(sources, labels_per_image, strict=True):
        digest.update(json.dumps([source.folder_index, source.image.name, _stat_image(source.image).st_size]).encode())
        if labels is not None:
            digest.update(encode_labels(labels))
    return digest.hexdigest()


def find_finished_split(out: Path, digest: str, sources: Sequence[SourceImage]) -> Manifest | None:
    """Return the manifest of a split folder if the split is complete and was made from the same input.

    Args:
        out: The output folder.
        digest: Digest of the input (:func:`compute_input_digest`).
        sources: The images. If one was modified after the split, the split is not reused.

    Returns:
        The manifest; None if the split must be done again.

    Example:
        >>> find_finished_split(Path("no_such_folder"), "", []) is None
        True
    """
    path = out / MANIFEST
    try:
        if not path.is_file():
            return None
        manifest = read_manifest(path)
        if manifest.input_digest != digest:
            return None
        finished_ns = path.stat().st_mtime_ns  # splitting writes the manifest last, when all images have been read
        if any(_stat_image(source.image).st_mtime_ns > finished_ns for source in sources):
            return None
        tile_names = {os.path.splitext(name)[0] for name in os.listdir(out / "images")}
    except (UserError, OSError):  # no error here: the caller splits again and reports the files that cannot be read
        return None
    return manifest if tile_names == set(manifest.tiles) else None


def _stat_image(image: Path) -> os.stat_result:
    try:
        return image.stat()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=image) from error
