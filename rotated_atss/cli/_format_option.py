"""The option ``--format`` of ``predict``: formats of the detections, Task1 files or vector files such as GeoJSON."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.errors import UserError, count_of, is_or_are, quote

if TYPE_CHECKING:
    from rotated_atss.io.georeference import Georeference

DOTA = "dota"
# The names are repeated here, because an import of geo.writers would slow down --help.
_VECTOR_FORMATS = ("geojson", "gpkg", "fgb", "csv", "parquet")
FORMAT_NAMES = (DOTA, *_VECTOR_FORMATS)
# In formats with one CRS per file, the CRS can be part of the file name, as in detections_epsg_32650.fgb.
_VECTOR_FILE = re.compile(rf"detections(_[a-z0-9_]+)?\.({'|'.join(_VECTOR_FORMATS)})")


def add_format_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--format``."""
    parser.add_argument(
        "--format", default=DOTA, metavar="FORMAT,...",
        help="comma-separated formats of the detections: dota (Task1 files), geojson (in WGS 84), or gpkg, fgb, csv "
        "and parquet (in the CRS of the image). Vector files are named OUT/detections.geojson and so on; all formats "
        f"but dota need the extra geo (default: {DOTA})",
    )  # fmt: skip


def parse_formats(text: str) -> tuple[str, ...]:
    """Parse ``--format``, and check that the packages for the formats are installed.

    Raises:
        UserError: A format is unknown, none is given, or a package is not installed.

    Example:
        >>> parse_formats("geojson,dota")
        ('geojson', 'dota')
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    formats = tuple(dict.fromkeys(names))  # without repetitions
    unknown = [name for name in formats if name not in FORMAT_NAMES]
    if unknown or not formats:
        wrong_text = unknown[0] if unknown else text
        hint = f"choose from {', '.join(FORMAT_NAMES)}"
        raise UserError(f"unknown format {quote(wrong_text)}", where="--format", hint=hint)
    if formats != (DOTA,):
        from rotated_atss.geo.writers import require_formats

        require_formats([name for name in formats if name != DOTA])
    return formats


def note_georeferences(formats: Sequence[str], paths: Sequence[Path]) -> Iterator[str]:
    """Yield a note if images have no georeference, and one if they have no CRS, because this limits vector files.

    Args:
        formats: Names of :data:`FORMAT_NAMES`.
        paths: The images.

    Raises:
        UserError: A georeference is malformed. Unreadable images are not an error here: prediction reports them.
    """
    if set(formats) == {DOTA}:
        return
    georeferences = list(map(_read_georeference, paths))
    total = count_of(len(georeferences), "image")
    num_missing = georeferences.count(None)
    if num_missing:
        verb = is_or_are(num_missing)
        yield f"{num_missing} of {total} {verb} not georeferenced: detections have pixel coordinates, x right, y down"
    num_without_crs = sum(georeference is not None and georeference.crs is None for georeference in georeferences)
    if num_without_crs:
        verb = is_or_are(num_without_crs)
        limits = "detections have map coordinates, but no lengths in meters"
        yield f"{num_without_crs} of {total} {verb} without a CRS: {limits}"


def _read_georeference(path: Path) -> Georeference | None:
    """Return the georeference of an image; None if it has none or cannot be read."""
    from rotated_atss.geo.crs import is_on_earth
    from rotated_atss.io.image_header import UnreadableImageError
    from rotated_atss.io.image_reader import find_georeference

    try:
        georeference = find_georeference(path)
    except UnreadableImageError:
        return None
    try:
        # The result is not used. The call raises an error if the CRS is malformed.
        is_on_earth(None if georeference is None else georeference.crs)
    except UserError as error:
        raise UserError(error.what, where=path, hint="correct the CRS of the image or its .prj file") from error
    return georeference


def list_vector_files(folder: Path) -> list[Path]:
    """List the files in a folder whose names are those of vector files that ``--format`` writes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("detections.gpkg", "detections_epsg_32650.fgb", "my_detections.gpkg"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in list_vector_files(Path(folder))]
        ['detections.gpkg', 'detections_epsg_32650.fgb']
    """
    return sorted(path for path in folder.iterdir() if _VECTOR_FILE.fullmatch(path.name) and path.is_file())
