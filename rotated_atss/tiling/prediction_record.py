"""Write and read the detections on one image as a record, so that an interrupted prediction can continue."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rotated_atss.io.georeference import Georeference
from rotated_atss.io.image_reader import ImageReader
from rotated_atss.tiling.merge_boxes import BoxDetections


@dataclass(frozen=True)
class ImageInfo:
    """Properties of an image that result files need besides the detections.

    Attributes:
        width: Width, pixels.
        height: Height, pixels.
        georeference: Position of the pixels on the map; None if unknown.
    """

    width: int
    height: int
    georeference: Georeference | None = None

    @classmethod
    def of(cls, image: ImageReader) -> ImageInfo:
        """Describe an open image."""
        return cls(image.width, image.height, image.georeference)


def write_record(path: Path, detections: BoxDetections, info: ImageInfo) -> None:
    """Write the detections on an image atomically.

    Args:
        path: File to write or replace, with the suffix ``.npz``.
        detections: Detections on a full image.
        info: The image.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.

    Example:
        >>> import tempfile
        >>> detections = BoxDetections("P1", np.ones((1, 5)), np.array([0.5]), np.array([3]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_record(Path(folder, "P1.npz"), detections, ImageInfo(40, 30))
        ...     read, info = read_record(Path(folder, "P1.npz"))
        >>> read.name, read.labels.tolist(), info
        ('P1', [3], ImageInfo(width=40, height=30, georeference=None))
    """
    columns = {name: getattr(detections, name) for name in ("boxes", "scores", "labels")}
    meta = json.dumps({"name": detections.name, **asdict(info)})
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "wb") as file:
            # savez stores only arrays, so the JSON text is stored as an array of its bytes
            np.savez(file, meta=np.frombuffer(meta.encode(), np.uint8), **columns)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_record(path: Path) -> tuple[BoxDetections, ImageInfo]:
    """Read a file of :func:`write_record`.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged.

    Example:
        >>> read_record(Path("no/such/record.npz"))
        Traceback (most recent call last):
        FileNotFoundError: ...
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            meta = json.loads(content["meta"].tobytes())
            columns = [content[name] for name in ("boxes", "scores", "labels")]
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ValueError(f"{path}: a damaged record: {error}") from error
    name, georeference_fields = meta.pop("name"), meta.pop("georeference")
    georeference = None
    if georeference_fields is not None:
        georeference = Georeference(tuple(georeference_fields["transform"]), georeference_fields["crs"])
    return BoxDetections(name, *columns), ImageInfo(**meta, georeference=georeference)


def is_complete(path: Path) -> bool:
    """Return whether a record exists and is complete.

    :func:`write_record` returns before the content is on the disk. A record can therefore be truncated if the machine
    crashes.

    Example:
        >>> is_complete(Path("no/such/record.npz"))
        False
    """
    try:
        # An .npz file is a zip archive. Archives end with the list of their files, so a truncated one cannot be opened.
        with zipfile.ZipFile(path) as file:
            return "labels.npy" in file.namelist()  # write_record writes this array last
    except (OSError, zipfile.BadZipFile):
        return False
