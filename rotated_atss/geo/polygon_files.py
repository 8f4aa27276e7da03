"""Reading of polygons from vector files: GeoPackage, Shapefile, FlatGeobuf and GeoJSON."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.geo.geojson_polygons import read_geojson_layer
from rotated_atss.geo.polygon_layer import HOLES, MULTIPOLYGONS, OTHERS, PolygonLayer
from rotated_atss.io.files import read_bytes
from rotated_atss.io.requirements import require

# GDAL recognizes drivers by content: other drivers read databases and web services, which no label file should reach.
_SIGNATURES = {
    ".gpkg": b"SQLite format 3\0",
    ".shp": b"\0\0\x27\x0a",
    ".fgb": b"fgb\x03",
}
_JSON = (".geojson", ".json")
SUFFIXES = (".gpkg", ".shp", ".fgb")
"""Suffixes of files that hold map coordinates only."""


def read_polygon_layers(path: str | Path) -> Iterator[PolygonLayer]:
    """Read the polygons of all layers of a vector file.

    Parts of a multipolygon become polygons of their own, holes are filled, and points, lines and features without a
    geometry are left out; each is counted in the notes.

    Args:
        path: A GeoPackage, Shapefile, FlatGeobuf or GeoJSON file.

    Raises:
        UserError: The file cannot be read, or a layer has no CRS, or pyogrio is not installed.

    Example:
        >>> import tempfile
        >>> text = '{"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 2]]]}'
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.geojson").write_text(text)
        ...     (layer,) = read_polygon_layers(f"{folder}/a.geojson")
        >>> layer.crs, layer.rings[0].shape
        ('EPSG:4326', (3, 2))
    """
    path = Path(path)
    if path.suffix.lower() in _JSON:
        yield read_geojson_layer(path)
        return
    pyogrio = require("pyogrio", "geo")
    signature = _SIGNATURES.get(path.suffix.lower(), b"")
    if not signature or not read_bytes(path, length=64).startswith(signature):
        raise UserError(f"not a {path.suffix} file", where=path, hint="check its suffix and content")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layers = [name for name, kind in pyogrio.list_layers(path).tolist() if kind is not None]
            if not layers:
                raise UserError("the file has no layer with geometries", where=path, hint="check that it is complete")
            for name in layers:
                yield _read_layer(path, pyogrio, name)
    except (RuntimeError, ValueError) as error:  # the exceptions of pyogrio are RuntimeErrors
        raise UserError(f"not a readable vector file: {error}", where=path) from error


def _read_layer(path: Path, pyogrio: Any, name: str) -> PolygonLayer:
    import shapely  # takes 0.1 s

    meta, fids, wkb, values = pyogrio.raw.read(path, layer=name, return_fids=True, force_2d=True)
    if meta["crs"] is None:
        hint = "assign one in a GIS, or write a .prj file for a Shapefile"
        raise UserError(f"the layer {name} has no CRS", where=path, hint=hint)
    geometries = shapely.from_wkb(wkb, on_invalid="ignore")
    broken = np.flatnonzero(shapely.is_missing(geometries) & np.array([each is not None for each in wkb], bool))
    if len(broken):
        what = "the geometry is malformed, such as a ring of fewer than three corners"
        raise UserError(what, where=f"{path}: feature {fids[broken[0]]}", hint="repair it in a GIS, or remove it")
    kinds = shapely.get_type_id(geometries)
    polygonal = np.isin(kinds, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
    polygonal &= ~shapely.is_empty(geometries)
    rows = np.flatnonzero(polygonal)
    parts, owners = shapely.get_parts(geometries[rows], return_index=True)
    rings = np.empty(len(parts), object)
    rings[:] = [shapely.get_coordinates(ring)[:-1] for ring in shapely.get_exterior_ring(parts)]
    rows = rows[owners]
    notes: Counter[tuple[str, str]] = Counter()
    notes[OTHERS] = int((~polygonal).sum())
    notes[MULTIPOLYGONS] = int((np.bincount(owners) > 1).sum()) if len(owners) else 0
    notes[HOLES] = int((shapely.get_num_interior_rings(parts) > 0).sum())
    columns = {field: column[rows] for field, column in zip(meta["fields"].tolist(), values)}
    return PolygonLayer(path, meta["crs"], np.asarray(fids)[rows], rings, columns, +notes)
