"""The zip that DOTA's server takes, and a check of one before it is sent.

The server wants one ``Task1_<class>.txt`` for every class, also where nothing was found, at the top of the zip, on
full images.
"""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rotated_atss.dota.classes import unknown_class_hint
from rotated_atss.dota.detections import EMPTY_DETECTIONS, TASK1_PREFIX, Detections, format_detections, parse_detections
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.tiles import is_tile_name
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, read_bytes

_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the same detections give the same bytes
_SOME_IMAGES = 0.55  # a share of images with detections that points to a half-finished test run


@dataclass(frozen=True)
class Finding:
    """Something about a submission. An error makes the server refuse or misjudge it; a warning is worth a look."""

    level: str  # error or warning
    where: str  # file within the zip, perhaps with a line
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.message}"


def write_submission(path: str | Path, detections_by_class: Mapping[str, Detections], classes: Sequence[str]) -> None:
    """Write the zip: a file for each of ``classes``, scores at full precision, the same bytes for the same detections.

    Raises:
        UserError: A class of the detections is not in ``classes``, the detections are on tiles, or the zip cannot be
            written.
    """
    for name, found in detections_by_class.items():
        if name not in classes:
            raise UserError(f"class '{name}' is not one of the submission's", hint=unknown_class_hint(name, classes))
        tile = next(filter(is_tile_name, found.images), None)
        if tile is not None:
            raise UserError(f"'{tile}' is a tile, not a full image", hint="merge first: rotated-atss merge")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in classes:
            entry = zipfile.ZipInfo(f"{TASK1_PREFIX}{name}.txt", _TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # whatever system writes it
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, format_detections(detections_by_class.get(name, EMPTY_DETECTIONS)))
    atomic_write(path, data.getvalue())


def check_submission(
    path: str | Path, classes: Sequence[str], images: str | Path | Sequence[str] | None = None
) -> list[Finding]:
    """What is wrong, or suspicious, with a submission; an empty list where nothing is.

    Args:
        path: The zip, or a folder with the same files.
        classes: The task's classes.
        images: Folder of the images that were to be detected on, or their ids; None leaves the ids unchecked.

    Raises:
        UserError: ``path`` or ``images`` cannot be read at all.
    """
    files = _open(Path(path))
    findings = list(_check_names(files, classes))
    detections: dict[str, Detections] = {}
    for name in sorted(files):
        if _class_of(name) not in classes:
            continue
        try:
            detections[name] = parse_detections(files[name], name)
        except UserError as error:
            findings.append(Finding("error", str(error.where), error.what))
    on_tiles = list(_check_tiles(detections))
    findings += on_tiles
    for name, found in detections.items():
        findings += _check_scores(name, found)
    findings += _check_units(detections)
    findings += _check_precision(detections)
    if images is not None and not on_tiles:  # a tile's name is in no folder of images
        ids = [path.stem for path in list_images(images)] if isinstance(images, (str, Path)) else list(images)
        findings += _check_images(detections, ids)
    return sorted(findings, key=lambda finding: finding.level)


# -- the parts of the check --------------------------------------------------------------------------------------------


def _open(path: Path) -> dict[str, bytes]:
    """Content of the files by their names within the zip or the folder."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): read_bytes(file) for file in path.rglob("*") if file.is_file()}
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:  # damaged, encrypted, exotic compression
        raise UserError(f"not a readable zip: {error}", where=path) from error


def _class_of(name: str) -> str | None:
    match = re.fullmatch(rf"{TASK1_PREFIX}(.+)\.txt", name)
    return match[1] if match else None


def _check_names(files: Mapping[str, bytes], classes: Sequence[str]) -> Iterator[Finding]:
    for name in classes:
        if f"{TASK1_PREFIX}{name}.txt" not in files:
            yield Finding(
                "error", f"{TASK1_PREFIX}{name}.txt", "missing: every class needs its file, also an empty one"
            )
    for name in sorted(files):
        if "/" in name:
            yield Finding("error", name, "in a folder: the files must lie at the top of the zip")
        elif _class_of(name) is None:
            yield Finding("error", name, "not a Task1_<class>.txt")
        elif _class_of(name) not in classes:
            yield Finding("error", name, f"unknown class; {unknown_class_hint(str(_class_of(name)), classes)}")


def _check_tiles(detections: Mapping[str, Detections]) -> Iterator[Finding]:
    """One finding however many files are on tiles: whoever forgot to merge forgot it for all classes."""
    named = ((name, next(filter(is_tile_name, found.images), None)) for name, found in detections.items())
    tiles = {name: tile for name, tile in named if tile is not None}
    if not tiles:
        return
    first, *more = tiles
    others = f" (and so in {len(more)} more files)" if more else ""
    yield Finding("error", first, f"names of tiles, such as {tiles[first]}: merge into full images first{others}")


def _check_scores(name: str, found: Detections) -> Iterator[Finding]:
    if len(found) and ((found.scores < 0) | (found.scores > 1)).any():
        yield Finding("warning", name, "scores outside 0 to 1")


def _check_units(detections: Mapping[str, Detections]) -> Iterator[Finding]:
    polygons = np.concatenate([each.polygons for each in detections.values()] or [np.empty((0, 8))])
    if len(polygons) and (polygons >= 0).all() and (polygons <= 1).all():
        yield Finding("error", "coordinates", "all lie between 0 and 1: they must be pixels of the full image")


def _check_precision(detections: Mapping[str, Detections]) -> Iterator[Finding]:
    texts = [each.score_texts for each in detections.values() if each.score_texts is not None and len(each)]
    if not texts or sum(map(len, texts)) < 100:
        return
    longest = max(len(text.partition(b".")[2]) for each in texts for text in np.unique(each).tolist())
    if longest <= 2:
        yield Finding("warning", "scores", "only two decimals: equal scores rank at random and cost average precision")


def _check_images(detections: Mapping[str, Detections], ids: Sequence[str]) -> Iterator[Finding]:
    known, seen = set(ids), set[str]()
    for name, found in detections.items():
        seen.update(found.images)
        unknown = [image for image in found.images if image not in known]
        if unknown:
            yield Finding("error", name, f"{len(unknown)} unknown image ids, the first '{unknown[0]}'")
    without = [image for image in ids if image not in seen]
    if not without:
        return
    if len(without) == len(ids):
        yield Finding("error", "images", "none of these images has a detection: is this the folder that was tested on?")
        return
    share = f"{len(without)} of {len(ids)} images have no detection, the first '{without[0]}'"
    if len(ids) - len(without) <= _SOME_IMAGES * len(ids):
        share += ": were all tiles tested and merged? A run that lost half its tiles looks like this"
    yield Finding("warning", "images", share)
