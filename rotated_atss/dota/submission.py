"""Write the zip file for DOTA's evaluation server.

The server requires one ``Task1_<class>.txt`` per class, even for a class without detections, at the top level of the
zip. The detections must be on full images.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rotated_atss.dota.classes import unknown_class_hint
from rotated_atss.dota.detections import EMPTY_DETECTIONS, TASK1_PREFIX, Detections, format_detections
from rotated_atss.dota.tiles import is_tile_name
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write

# Time and operating system are fixed values in every zip, so that equal detections give identical files.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_UNIX = 3  # the zip format's code for the operating system


def check_submission_path(path: str | Path) -> None:
    """Raise an error unless the path of a submission ends in ``.zip``, so that it replaces no other kind of file.

    Raises:
        UserError: The path has another suffix.

    Example:
        >>> check_submission_path("task1.zip")
        >>> check_submission_path("model.pth")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: model.pth: a submission must be a .zip file (choose another --submission)
    """
    if Path(path).suffix.lower() != ".zip":
        raise UserError("a submission must be a .zip file", where=path, hint="choose another --submission")


def write_submission(path: str | Path, detections_by_class: Mapping[str, Detections], classes: Sequence[str]) -> None:
    """Write a submission zip with one Task1 file per class. Scores are written at full precision.

    Equal detections give identical zip files.

    Args:
        path: Zip file to write.
        detections_by_class: Detections on full images; a class without an entry gets an empty file.
        classes: All classes of the DOTA version; the zip gets one file for each.

    Raises:
        UserError: A class of the detections is not in ``classes``, an image is a tile, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_submission(Path(folder, "task1.zip"), {}, ("plane", "ship"))
        ...     zipfile.ZipFile(Path(folder, "task1.zip")).namelist()
        ['Task1_plane.txt', 'Task1_ship.txt']
    """
    for name, detections in detections_by_class.items():
        if name not in classes:
            message = f"class '{name}' is not a class of the submission"
            raise UserError(message, hint=unknown_class_hint(name, classes))
        tile = next(filter(is_tile_name, detections.images), None)
        if tile is not None:
            raise UserError(f"'{tile}' is a tile, not a full image", hint="merge the tiles first: rotated-atss merge")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in classes:
            entry = zipfile.ZipInfo(f"{TASK1_PREFIX}{name}.txt", _TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = _UNIX
            entry.external_attr = 0o644 << 16  # Unix permissions rw-r--r--
            archive.writestr(entry, format_detections(detections_by_class.get(name, EMPTY_DETECTIONS)))
    atomic_write(path, data.getvalue())
