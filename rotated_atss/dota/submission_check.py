"""Check a submission for DOTA's evaluation server before it is uploaded."""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rotated_atss.dota.classes import unknown_class_hint
from rotated_atss.dota.detections import TASK1_PREFIX, Detections, parse_detections
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.tiles import is_tile_name
from rotated_atss.errors import UserError, count_of, printable
from rotated_atss.io.files import read_bytes

# A share of images with detections up to this value suggests that the test run is incomplete.
_INCOMPLETE_SHARE = 0.55
MAX_CONTENT_BYTES = 4 << 30
_MIN_SCORES = 100  # number of scores from which their decimals are checked


@dataclass(frozen=True)
class Finding:
    """A problem of a submission.

    Attributes:
        level: ``error`` (the server rejects the submission or scores it wrongly) or ``warning``.
        where: File within the zip, or ``file:line``.
        message: Description of the problem.
    """

    level: str
    where: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.level}: {self.where}: {self.message}")


def check_submission(
    path: str | Path, classes: Sequence[str], images: str | Path | Sequence[str] | None = None
) -> list[Finding]:
    """Check a submission and list its problems, errors first.

    Args:
        path: Zip file, or a folder with the same files.
        classes: Classes of the task.
        images: Folder of the tested images, or their ids; None skips the check of image ids.

    Raises:
        UserError: ``path`` or ``images`` cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "Task1_plane.txt").write_text("P0001 1.5 1 2 11 2 11 8 1 8")
        ...     [str(finding) for finding in check_submission(folder, ("plane",))]
        ['warning: Task1_plane.txt: scores outside 0 to 1']
    """
    files, findings = _read_files(Path(path), classes)
    findings += _check_names(files, classes)
    detections: dict[str, Detections] = {}
    for name in sorted(files):
        if _class_of(name) not in classes:
            continue
        try:
            detections[name] = parse_detections(files[name], name)
        except UserError as error:
            findings.append(Finding("error", str(error.where), error.what))
    tile_findings = list(_check_tiles(detections))
    findings += tile_findings
    for check in (_check_scores, _check_units, _check_precision):
        findings += check(detections)
    if images is not None and not tile_findings:  # tile names would all be unknown image ids
        ids = [path.stem for path in list_images(images)] if isinstance(images, (str, Path)) else list(images)
        findings += _check_images(detections, ids)
    return sorted(findings, key=lambda finding: finding.level)


def _read_files(path: Path, classes: Sequence[str]) -> tuple[dict[str, bytes], list[Finding]]:
    """Read the files of a zip or folder, by their names within it.

    Of a zip only the files of the classes are read, up to a total size.
    """
    if path.is_dir():
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        return {file.relative_to(path).as_posix(): read_bytes(file) for file in files}, []
    contents: dict[str, bytes] = {}
    findings = []
    room = MAX_CONTENT_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            for info in (info for info in archive.infolist() if not info.is_dir()):
                if info.filename in contents:
                    findings.append(Finding("error", printable(info.filename), "twice in the zip"))
                    continue
                contents[info.filename] = b""
                if _class_of(info.filename) in classes:
                    with archive.open(info) as file:
                        contents[info.filename] = file.read(room + 1)
                room -= len(contents[info.filename])
                if room < 0:
                    what = f"the files of the zip have more than {MAX_CONTENT_BYTES >> 30} GiB"
                    raise UserError(what, where=path, hint="is this a submission?")
    except UserError:
        raise
    except Exception as error:  # a damaged zip raises errors of zipfile, zlib, lzma, struct and others
        raise UserError(f"not a readable zip: {error or type(error).__name__}", where=path) from error
    return contents, findings


def _class_of(name: str) -> str | None:
    match = re.fullmatch(rf"{TASK1_PREFIX}(.+)\.txt", name)
    return match[1] if match else None


def _check_names(files: Mapping[str, bytes], classes: Sequence[str]) -> Iterator[Finding]:
    for name in (f"{TASK1_PREFIX}{class_name}.txt" for class_name in classes):
        if name not in files:
            yield Finding("error", name, "missing: every class needs a file, also without detections")
    for name in sorted(files):
        if "/" in name:
            yield Finding("error", name, "in a folder: the files must be at the top level of the zip")
        elif _class_of(name) is None:
            yield Finding("error", name, "not a Task1_<class>.txt")
        elif _class_of(name) not in classes:
            yield Finding("error", name, f"unknown class; {unknown_class_hint(str(_class_of(name)), classes)}")


def _check_tiles(detections: Mapping[str, Detections]) -> Iterator[Finding]:
    """Report one finding for all files, as a missing merge affects every class."""
    first_tiles = {name: next(filter(is_tile_name, rows.images), None) for name, rows in detections.items()}
    tiles = {name: tile for name, tile in first_tiles.items() if tile is not None}
    if not tiles:
        return
    first, *more = tiles
    others = f" (and so in {len(more)} more files)" if more else ""
    yield Finding("error", first, f"names of tiles, such as {tiles[first]}: merge into full images first{others}")


def _check_scores(detections: Mapping[str, Detections]) -> Iterator[Finding]:
    for name, rows in detections.items():
        if ((rows.scores < 0) | (rows.scores > 1)).any():
            yield Finding("warning", name, "scores outside 0 to 1")


def _check_units(detections: Mapping[str, Detections]) -> Iterator[Finding]:
    polygons = np.concatenate([rows.polygons for rows in detections.values()] or [np.empty((0, 8))])
    if len(polygons) and (polygons >= 0).all() and (polygons <= 1).all():
        yield Finding("error", "coordinates", "all lie between 0 and 1: they must be pixels of the full image")


def _check_precision(detections: Mapping[str, Detections]) -> Iterator[Finding]:
    texts = [rows.score_texts for rows in detections.values() if rows.score_texts is not None and len(rows)]
    if not texts or sum(map(len, texts)) < _MIN_SCORES:
        return
    decimals = max(len(text.partition(b".")[2]) for column in texts for text in np.unique(column).tolist())
    if decimals <= 2:
        message = "only two decimals: equal scores are ranked arbitrarily, which lowers average precision"
        yield Finding("warning", "scores", message)


def _check_images(detections: Mapping[str, Detections], ids: Sequence[str]) -> Iterator[Finding]:
    known, seen = set(ids), set[str]()
    for name, rows in detections.items():
        seen.update(rows.images)
        unknown = [image for image in rows.images if image not in known]
        if unknown:
            yield Finding("error", name, f"{count_of(len(unknown), 'unknown image id')}, the first '{unknown[0]}'")
    without = [image for image in ids if image not in seen]
    if not without:
        return
    if len(without) == len(ids):
        yield Finding("error", "images", "none of these images has a detection: is this the folder of tested images?")
        return
    verb = "has" if len(without) == 1 else "have"
    message = f"{len(without)} of {len(ids)} images {verb} no detection, the first '{without[0]}'"
    if len(ids) - len(without) <= _INCOMPLETE_SHARE * len(ids):
        message += ": were all tiles tested and merged?"
    yield Finding("warning", "images", message)
