"""Recognition of a finished split by the digest of its input, so that the same command can be repeated."""

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
from rotated_atss.tiling.split_records import label_bytes
from rotated_atss.tiling.split_settings import SplitSettings


def input_digest(
    settings: SplitSettings, sources: Sequence[SourceImage], label_sets: Sequence[Labels | None], formats: Sequence
) -> str:
    """Return a digest of the input of a split, independent of where its folders are.

    Args:
        settings: The settings as they are given, before automatic values are resolved.
        sources: The images, which are represented by their names and sizes in bytes.
        label_sets: Their labels.
        formats: Label format per folder.

    Raises:
        UserError: An image cannot be read.

    Example:
        >>> digest = input_digest(SplitSettings(), [], [], [])
        >>> digest == input_digest(SplitSettings(sizes=[512]), [], [], [])
        False
    """
    digest = hashlib.sha256(json.dumps([__version__, asdict(settings), list(formats)]).encode())
    for source, labels in zip(sources, label_sets, strict=True):
        digest.update(json.dumps([source.folder, source.image.name, _status(source.image).st_size]).encode())
        if labels is not None:
            digest.update(label_bytes(labels))
    return digest.hexdigest()


def find_finished_split(out: Path, digest: str, sources: Sequence[SourceImage]) -> Manifest | None:
    """Return the manifest of a complete split in a folder if its input is that of a digest.

    Args:
        out: The output folder.
        digest: A digest of :func:`input_digest`.
        sources: The images: none may have been changed after the split.

    Returns:
        None if there is no split, one of another input, or one whose tiles are not complete.

    Example:
        >>> find_finished_split(Path("no_such_folder"), "", []) is None
        True
    """
    path = out / MANIFEST
    try:
        if not path.is_file() or (manifest := read_manifest(path)).input_digest != digest:
            return None
        finished = path.stat().st_mtime_ns
        if any(_status(source.image).st_mtime_ns > finished for source in sources):
            return None
        names = {os.path.splitext(name)[0] for name in os.listdir(out / "images")}
    except (UserError, OSError):
        return None
    return manifest if names == set(manifest.tiles) else None


def _status(image: Path) -> os.stat_result:
    try:
        return image.stat()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=image) from error
