"""Sidecar files that georeference a plain image: a world file with the transform, and a ``.prj`` with the CRS.

A sidecar file is in the folder of the image. Its name is the name of the image file with another suffix.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import read_bytes
from rotated_atss.io.georeference import Georeference

_MAX_BYTES = 1 << 16  # only these first bytes of a sidecar file are read


def add_sidecars(georeference: Georeference | None, image: Path) -> Georeference | None:
    """Complete a georeference with the world file and the ``.prj`` of an image.

    Args:
        georeference: Georeference stored in the image file, which takes precedence; None if there is none.
        image: The image file.

    Returns:
        The georeference; None if neither the image nor a world file has a transform.

    Raises:
        UserError: A world file does not contain the six numbers of an invertible transform.

    Example:
        >>> add_sidecars(None, Path("no_such_image.png")) is None
        True
    """
    if georeference is None:
        world = find_sidecar(image, world_suffixes(image.suffix))
        georeference = None if world is None else read_world_file(world)
    if georeference is None or georeference.crs is not None:
        return georeference
    prj_path = find_sidecar(image, [".prj"])
    if prj_path is None:
        return georeference
    crs = _read_text(prj_path) or None  # an empty file states no CRS
    return replace(georeference, crs=crs)


def world_suffixes(suffix: str) -> list[str]:
    """Return the possible suffixes of the world file of an image with a given suffix, the most common one first.

    Example:
        >>> world_suffixes(".tif"), world_suffixes(".jpeg")
        (['.tfw', '.tifw', '.wld'], ['.jgw', '.jpegw', '.wld'])
    """
    name = suffix.lower().lstrip(".")
    return ([f".{name[0]}{name[-1]}w", f".{name}w"] if name else []) + [".wld"]


def find_sidecar(image: Path, suffixes: list[str]) -> Path | None:
    """Return the first existing file with the name of an image and one of the suffixes, in lower or upper case.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "a.TFW").touch()
        ...     find_sidecar(Path(folder, "a.tif"), [".tfw", ".wld"]).name
        'a.TFW'
    """
    candidates = (image.with_suffix(variant) for suffix in suffixes for variant in (suffix, suffix.upper()))
    return next((path for path in candidates if path.is_file()), None)


def read_world_file(path: Path) -> Georeference:
    """Read a world file.

    It contains a, d, b, e of the transform, and the map coordinates x, y of the center of the upper left pixel.

    Raises:
        UserError: The file does not contain the six numbers of an invertible transform.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.pgw").write_text("2 0 0 -2 101 199")
        ...     read_world_file(Path(folder, "a.pgw")).transform
        (2.0, 0.0, 100.0, 0.0, -2.0, 200.0)
    """
    text = _read_text(path)
    try:
        # In some locales, programs write a comma as the decimal separator.
        a, d, b, e, center_x, center_y = (float(number.replace(",", ".")) for number in text.split())
        # c and f are the map coordinates of the corner of the pixel, half a column and half a row before its center
        return Georeference((a, b, center_x - (a + b) / 2, d, e, center_y - (d + e) / 2))
    except ValueError:
        raise UserError(f"a world file must have six numbers, got {quote(text)}", where=path) from None
    except UserError as error:
        raise UserError(error.what, where=path) from None


def _read_text(path: Path) -> str:
    return read_bytes(path, length=_MAX_BYTES).decode("utf-8", "replace").strip("\0 \r\n\t\ufeff")
