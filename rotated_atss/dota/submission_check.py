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
from rotated_atss.errors import UserError, count_of, printable, quote
from rotated_atss.io.files import read_bytes

# If at most this fraction of the images has detections, the test run is probably incomplete. The fraction is slightly
# above one half, so that a run on half of the images is noticed.
_INCOMPLETE_FRACTION = 0.55
MAX_CONTENT_BYTES = 4 << 30  # limits the memory that a damaged or malicious zip can take
_MIN_SCORES_FOR_PRECISION_CHECK = 100  # with fewer scores, few decimals may be a coincidence


@dataclass(frozen=True)
class Finding:
    """A problem in a submission.

    Attributes:
        level: ``error`` (the server rejects the submission or scores it wrongly) or ``warning``.
        where: File in the zip, ``file:line``, or the affected part of the submission (``coordinates``, ``scores``,
            ``detections``, ``images``).
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
        classes: Class names of the DOTA version.
        images: Folder of the test images, or their ids; None skips the check of image ids.

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
    by_file: dict[str, Detections] = {}
    for name in sorted(files):
        if _class_of(name) not in classes:
            continue
        try:
            by_file[name] = parse_detections(files[name], name)
        except UserError as error:
            findings.append(Finding("error", str(error.where), error.what))
    # If a file is missing or not readable, it is unknown whether there are detections.
    all_files_are_read = len(by_file) == len(set(classes))
    if all_files_are_read and not any(map(len, by_file.values())):
        message = "the files contain no detection. Check that the checkpoint is trained."
        findings.append(Finding("error", "detections", message))
    tile_findings = list(_check_tiles(by_file))
    findings += tile_findings
    for check in (_check_scores, _check_units, _check_precision):
        findings += check(by_file)
    # Image ids are not checked if some are tile names, because _check_images would report these a second time.
    if images is not None and not tile_findings:
        image_ids = [path.stem for path in list_images(images)] if isinstance(images, (str, Path)) else list(images)
        findings += _check_images(by_file, image_ids)
    return sorted(findings, key=lambda finding: finding.level)  # "error" sorts before "warning"


def _read_files(path: Path, classes: Sequence[str]) -> tuple[dict[str, bytes], list[Finding]]:
    """Return the contents of the files in a zip or folder, by name, and findings about names that occur twice.

    In a zip, only the Task1 files of ``classes`` are read; all other files map to ``b""``.

    Raises:
        UserError: The zip cannot be read, or the file sizes that it states add up to more than
            :data:`MAX_CONTENT_BYTES`. It is enough to check the stated sizes, because ``zipfile`` never expands a file
            beyond its stated size.
    """
    if path.is_dir():
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        return {file.relative_to(path).as_posix(): read_bytes(file) for file in files}, []
    contents: dict[str, bytes] = {}
    findings = []
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            entries = [info for info in archive.infolist() if not info.is_dir()]
            task1_entries = [info for info in entries if _class_of(info.filename) in classes]
            if sum(info.file_size for info in task1_entries) > MAX_CONTENT_BYTES:
                what = f"the zip expands to more than {MAX_CONTENT_BYTES >> 30} GiB"
                raise UserError(what, where=path, hint="check that it is a submission")
            for info in entries:
                if info.filename in contents:
                    findings.append(Finding("error", printable(info.filename), "occurs twice in the zip"))
                    continue
                contents[info.filename] = archive.read(info) if info in task1_entries else b""
    except UserError:
        raise
    except Exception as error:  # a damaged zip raises errors of zipfile, zlib, lzma, struct and others
        raise UserError(f"not a readable zip: {error or type(error).__name__}", where=path) from error
    return contents, findings


def _class_of(name: str) -> str | None:
    """Return the class name that the name of a Task1 file contains, or None for other files."""
    match = re.fullmatch(rf"{TASK1_PREFIX}(.+)\.txt", name)
    return match[1] if match else None


def _check_names(files: Mapping[str, bytes], classes: Sequence[str]) -> Iterator[Finding]:
    for name in (f"{TASK1_PREFIX}{class_name}.txt" for class_name in classes):
        if name not in files:
            yield Finding("error", name, "missing: every class needs a file, even if it has no detections")
    for name in sorted(files):
        if "/" in name:
            yield Finding("error", name, "in a folder: the files must be at the top level of the zip")
        elif _class_of(name) is None:
            yield Finding("error", name, "not a Task1_<class>.txt")
        elif _class_of(name) not in classes:
            yield Finding("error", name, f"unknown class; {unknown_class_hint(str(_class_of(name)), classes)}")


def _check_tiles(by_file: Mapping[str, Detections]) -> Iterator[Finding]:
    """Report tile names in one finding for all files, because a missing merge affects every class."""
    first_tiles: dict[str, str] = {}  # first tile name in each file that has one
    for name, detections in by_file.items():
        tile = next(filter(is_tile_name, detections.images), None)
        if tile is not None:
            first_tiles[name] = tile
    if not first_tiles:
        return
    first_file, *other_files = first_tiles
    others = f" (also in {count_of(len(other_files), 'more file')})" if other_files else ""
    message = f"image ids are tile names, such as {first_tiles[first_file]}{others}. Merge into full images first."
    yield Finding("error", first_file, message)


def _check_scores(by_file: Mapping[str, Detections]) -> Iterator[Finding]:
    for name, detections in by_file.items():
        if ((detections.scores < 0) | (detections.scores > 1)).any():
            yield Finding("warning", name, "scores outside 0 to 1")


def _check_units(by_file: Mapping[str, Detections]) -> Iterator[Finding]:
    """Report coordinates that are fractions of the image size instead of pixels."""
    polygons = np.concatenate([detections.polygons for detections in by_file.values()] or [np.empty((0, 8))])
    if len(polygons) and (polygons >= 0).all() and (polygons <= 1).all():
        yield Finding("error", "coordinates", "must be pixels of the full image, but all lie between 0 and 1")


def _check_precision(by_file: Mapping[str, Detections]) -> Iterator[Finding]:
    """Report scores with at most two decimals."""
    score_texts = [
        detections.score_texts
        for detections in by_file.values()
        if detections.score_texts is not None and len(detections)
    ]
    if not score_texts or sum(map(len, score_texts)) < _MIN_SCORES_FOR_PRECISION_CHECK:
        return
    distinct_scores = [score for scores in score_texts for score in np.unique(scores).tolist()]
    max_decimals = max(len(score.partition(b".")[2]) for score in distinct_scores)
    if max_decimals <= 2:
        message = "only two decimals: equal scores are ranked arbitrarily, which lowers average precision"
        yield Finding("warning", "scores", message)


def _check_images(by_file: Mapping[str, Detections], image_ids: Sequence[str]) -> Iterator[Finding]:
    known_ids = set(image_ids)
    detected_ids: set[str] = set()
    for name, detections in by_file.items():
        detected_ids.update(detections.images)
        unknown = [image_id for image_id in detections.images if image_id not in known_ids]
        if unknown:
            message = f"{count_of(len(unknown), 'unknown image id')} (first: {quote(unknown[0])})"
            yield Finding("error", name, message)
    undetected = [image_id for image_id in image_ids if image_id not in detected_ids]
    if not undetected:
        return
    if not detected_ids:  # check_submission has reported that there are no detections
        return
    if len(undetected) == len(image_ids):
        none_detected = f"none of the {len(image_ids)} images has a detection"
        yield Finding("error", "images", f"{none_detected}. Check that this is the folder of the test images.")
        return
    verb = "has" if len(undetected) == 1 else "have"
    message = f"{len(undetected)} of {len(image_ids)} images {verb} no detection (first: {quote(undetected[0])})"
    if len(image_ids) - len(undetected) <= _INCOMPLETE_FRACTION * len(image_ids):
        message += ". Check that all tiles were tested and merged."
    yield Finding("warning", "images", message)
