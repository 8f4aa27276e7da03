"""Write detections as GeoPackage, FlatGeobuf or GeoParquet. Equal detections give identical files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.geo.crs import parse_crs
from rotated_atss.geo.features import FeatureTable
from rotated_atss.io.files import write_error
from rotated_atss.io.requirements import require

LAYER = "detections"
_GEOPACKAGE_VERSION = "1.2"  # with later versions, GDAL before 3.7 (for example, in QGIS 3.22) prints a warning
_GEOPARQUET_VERSION = "1.1.0"
# A GeoPackage contains the time of its last change. It is always set to this time, so that equal detections give
# identical files.
_DATE = "2000-01-01T00:00:00Z"


def write_gpkg(path: str | Path, tables: Sequence[FeatureTable]) -> None:
    """Write a GeoPackage with one layer per table.

    A single table with a CRS becomes the layer ``detections``. Otherwise the name of each table is appended, as in
    ``detections_epsg_32650`` or ``detections_pixels``.

    Args:
        path: The file; it must not exist.
        tables: Tables of :func:`rotated_atss.geo.features.build_tables`.

    Raises:
        UserError: The file cannot be written, or pyogrio is not installed.

    Example:
        >>> import tempfile
        >>> from rotated_atss.geo.features import Features, build_tables
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_gpkg(f"{folder}/a.gpkg", build_tables(Features.from_task1({}, {})))
        ...     require("pyogrio").list_layers(f"{folder}/a.gpkg").tolist()
        [['detections_pixels', 'Polygon']]
    """
    require("pyogrio", "geo").set_gdal_config_options({"OGR_CURRENT_DATE": _DATE})
    for table in tables:
        for index, chunk in enumerate(table.iter_chunks()):
            options: dict[str, Any] = {"append": True}
            if index == 0:  # the first chunk of a table creates the layer
                options = {"layer_options": {"DESCRIPTION": table.description}}
            if not Path(path).exists():  # the first chunk of the first table creates the file
                options["dataset_options"] = {"VERSION": _GEOPACKAGE_VERSION}
            _write_with_gdal(path, chunk, "GPKG", _layer_name(table, tables), **options)


def write_fgb(path: str | Path, tables: Sequence[FeatureTable]) -> None:
    """Write a FlatGeobuf file, which has one layer.

    Args:
        path: The file; it must not exist.
        tables: A list of exactly one table.

    Raises:
        UserError: As for :func:`write_gpkg`.

    Example:
        >>> import tempfile
        >>> from rotated_atss.geo.features import Features, build_tables
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_fgb(f"{folder}/a.fgb", build_tables(Features.from_task1({}, {})))
        ...     require("pyogrio").read_info(f"{folder}/a.fgb")["fields"].tolist()[:3]
        ['class', 'score', 'image']
    """
    (table,) = tables
    _write_with_gdal(path, table, "FlatGeobuf", _layer_name(table, tables), layer_options={"TITLE": table.description})


def write_parquet(path: str | Path, tables: Sequence[FeatureTable]) -> None:
    """Write a GeoParquet file (version 1.1).

    Args:
        path: The file.
        tables: A list of exactly one table.

    Raises:
        UserError: The file cannot be written, or pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> from rotated_atss.geo.features import Features, build_tables
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_parquet(f"{folder}/a.parquet", build_tables(Features.from_task1({}, {})))
        ...     require("pyarrow.parquet").read_table(f"{folder}/a.parquet").column_names[-1]
        'geometry'
    """
    pyarrow, parquet = require("pyarrow", "geo"), require("pyarrow.parquet", "geo")
    (table,) = tables
    types = {
        name: pyarrow.string() if values.dtype == object else pyarrow.float64()
        for name, values in table.columns.items()
    }
    metadata = {"geo": json.dumps(_geo_metadata(table)), "description": table.description}
    schema = pyarrow.schema({**types, "geometry": pyarrow.binary()}, metadata=metadata)
    try:
        with parquet.ParquetWriter(path, schema) as writer:
            for chunk in table.iter_chunks():
                columns = {**chunk.columns, "geometry": _to_wkb(chunk)}
                # from_pandas=True writes NaN as null.
                arrays = [pyarrow.array(columns[field.name], field.type, from_pandas=True) for field in schema]
                writer.write_table(pyarrow.table(arrays, schema))
    except OSError as error:
        raise write_error(path, error) from error


def _geo_metadata(table: FeatureTable) -> dict[str, object]:
    """Return the metadata ``geo`` of a GeoParquet file."""
    crs = None if table.crs is None else parse_crs(table.crs).to_json_dict()
    column: dict[str, object] = {
        "encoding": "WKB", "geometry_types": ["Polygon"], "crs": crs, "orientation": "counterclockwise",
    }  # fmt: skip
    corners = table.rings[table.is_finite].reshape(-1, 2)
    if len(corners):
        column["bbox"] = [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]
    return {"version": _GEOPARQUET_VERSION, "primary_column": "geometry", "columns": {"geometry": column}}


def _layer_name(table: FeatureTable, tables: Sequence[FeatureTable]) -> str:
    is_only_table = len(tables) == 1
    # Without a CRS, the name tells that the coordinates are pixels, or map coordinates of an unknown CRS.
    return LAYER if is_only_table and table.crs is not None else f"{LAYER}_{table.name}"


def _write_with_gdal(path: str | Path, table: FeatureTable, driver: str, layer: str, **options: Any) -> None:
    """Write a table as a layer; ``options`` are passed on to pyogrio."""
    pyogrio = require("pyogrio", "geo")
    columns = list(table.columns.values())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # pixels have no CRS
            pyogrio.raw.write(
                str(path), _to_wkb(table), columns, list(table.columns),
                # True in a mask is written as null. Unknown numbers are NaN in the columns.
                field_mask=[None if column.dtype == object else ~np.isfinite(column) for column in columns],
                layer=layer, driver=driver, geometry_type="Polygon",
                crs=None if table.crs is None else parse_crs(table.crs).to_wkt(), **options,
            )  # fmt: skip
    except (OSError, RuntimeError) as error:  # pyogrio's own exceptions are RuntimeErrors
        raise write_error(path, error) from error


def _to_wkb(table: FeatureTable) -> NDArray[np.object_]:
    """Return the polygons (N,) as well-known binary; None for polygons with coordinates that are not finite."""
    import shapely  # imported only here, because the import takes 0.1 s

    geometries = np.full(len(table.rings), None, object)
    geometries[table.is_finite] = shapely.to_wkb(shapely.polygons(table.rings[table.is_finite]))
    return geometries
