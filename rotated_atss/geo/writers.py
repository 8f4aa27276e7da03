"""Write detections with map coordinates in any of the supported file formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotated_atss.errors import UserError, quote
from rotated_atss.geo.features import Features, FeatureTable, build_tables
from rotated_atss.geo.text_files import write_csv, write_geojson
from rotated_atss.geo.vector_files import write_fgb, write_gpkg, write_parquet
from rotated_atss.io.files import atomic_path
from rotated_atss.io.requirements import require

FORMATS = ("geojson", "gpkg", "fgb", "csv", "parquet")
"""Names of the formats, which are also the suffixes of the files."""

_MULTI_CRS_FORMATS = ("gpkg", "csv")  # their files can contain coordinates in several CRSs
# Every format needs rasterio and pyproj. These are the additional packages per format.
_PACKAGES = {"gpkg": ("pyogrio",), "fgb": ("pyogrio",), "parquet": ("pyarrow",)}
_WRITERS = {"geojson": write_geojson, "csv": write_csv, "gpkg": write_gpkg, "fgb": write_fgb, "parquet": write_parquet}


def require_formats(formats: Sequence[str]) -> None:
    """Raise an error unless all formats are known and the packages that they need are installed.

    Raises:
        UserError: A format is unknown, or a package of the extra ``geo`` is missing.

    Example:
        >>> require_formats(["geojson", "parquet"])
    """
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"unknown format {quote(name)}", hint=f"choose from {', '.join(FORMATS)}")
        for package in ("rasterio", "pyproj", *_PACKAGES.get(name, ())):
            require(package, "geo")


def write_features(path: str | Path, format_name: str, features: Features) -> list[Path]:
    """Write detections to a file atomically, or to one file per CRS.

    GeoPackage, CSV, FlatGeobuf and GeoParquet files use the CRS of the images. If the images have several CRSs,
    GeoPackage has one layer per CRS and CSV has a column with the CRS; FlatGeobuf and GeoParquet need one file per CRS,
    such as ``detections_epsg_32650.fgb``. GeoJSON always uses WGS 84 longitude and latitude. In formats with one CRS
    per file, detections on images without a known CRS go to a separate file, such as ``detections_pixels.geojson``.

    Args:
        path: File to write or replace. If there is one file per CRS, the file names start with the stem of ``path``.
        format_name: One of :data:`FORMATS`.
        features: The detections.

    Returns:
        The written files, ordered by the first image of each file.

    Raises:
        UserError: The file cannot be written, a CRS is malformed, or a package is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = write_features(Path(folder, "detections.csv"), "csv", Features.from_task1({}, {}))
        ...     [file.name for file in written]
        ['detections.csv']
    """
    path = Path(path)
    tables = build_tables(features, lon_lat=format_name == "geojson")
    if len(tables) == 1 or format_name in _MULTI_CRS_FORMATS:
        _write_file(path, format_name, tables)
        return [path]
    paths = [path.with_name(f"{path.stem}_{table.name}{path.suffix}") for table in tables]
    for file, table in zip(paths, tables, strict=True):
        _write_file(file, format_name, [table])
    return paths


def _write_file(path: Path, format_name: str, tables: Sequence[FeatureTable]) -> None:
    # The name of the temporary file ends with the suffix of the format, because GDAL checks the suffix.
    with atomic_path(path, f".part{path.suffix}") as temporary:
        _WRITERS[format_name](temporary, tables)
