"""Read polygons from vector files: GeoPackage, Shapefile, FlatGeobuf and GeoJSON."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.geo.geojson_polygons import read_geojson_layer
from rotated_atss.geo.polygon_layer import HOLES, MULTIPOLYGONS, NOT_POLYGONS, Note, PolygonLayer
from rotated_atss.io.files import read_bytes
from rotated_atss.io.requirements import require

# The bytes with which a file of each suffix starts. They are checked, because GDAL selects a driver by the content of a
# file, and some drivers connect to databases or web services. No connection must be opened when a label file is read.
_SIGNATURES = {
    ".gpkg": b"SQLite format 3\0",
    ".shp": b"\0\0\x27\x0a",
    ".fgb": b"fgb\x03",
}
_JSON_SUFFIXES = (".geojson", ".json")
GDAL_SUFFIXES = (".gpkg", ".shp", ".fgb")
"""Suffixes of the files that are read with GDAL. Their coordinates are always map coordinates, unlike in GeoJSON."""


def read_polygon_layers(path: str | Path) -> Iterator[PolygonLayer]:
    """Read the polygons of all layers of a vector file.

    Each part of a multipolygon becomes a polygon, and holes are filled. Points, lines and features without a geometry
    are left out. The attribute ``notes`` of a layer counts the multipolygons, the polygons with holes, and the features
    that were left out.

    Args:
        path: A GeoPackage, Shapefile, FlatGeobuf or GeoJSON file.

    Raises:
        UserError: The file cannot be read, a geometry is malformed, a layer has no CRS, or pyogrio is not installed.

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
    if path.suffix.lower() in _JSON_SUFFIXES:
        yield read_geojson_layer(path)
        return
    pyogrio = require("pyogrio", "geo")
    signature = _SIGNATURES.get(path.suffix.lower(), b"")
    if not signature or read_bytes(path, length=len(signature)) != signature:
        raise UserError(f"not a {path.suffix} file", where=path, hint="check its suffix and content")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Layers without a geometry type are plain tables, which are skipped.
            layers = [name for name, geometry_type in pyogrio.list_layers(path).tolist() if geometry_type is not None]
            if not layers:
                raise UserError("the file has no layer with geometries", where=path, hint="check that it is complete")
            for name in layers:
                yield _read_layer(path, pyogrio, name)
    except (RuntimeError, ValueError) as error:  # pyogrio's own exceptions are RuntimeErrors
        raise UserError(f"not a readable vector file: {error}", where=path) from error


def _read_layer(path: Path, pyogrio: Any, name: str) -> PolygonLayer:
    import shapely  # imported only here, because the import takes 0.1 s

    meta, fids, wkb, values = pyogrio.raw.read(path, layer=name, return_fids=True, force_2d=True)
    if meta["crs"] is None:
        hint = "assign one in a GIS, or write a .prj file for a Shapefile"
        raise UserError(f"the layer {name} has no CRS", where=path, hint=hint)
    geometries = shapely.from_wkb(wkb, on_invalid="ignore")  # a malformed geometry becomes None
    has_geometry = np.array([data is not None for data in wkb], bool)
    malformed = np.flatnonzero(shapely.is_missing(geometries) & has_geometry)
    if len(malformed):
        what = "the geometry is malformed, for example a ring with fewer than three corners"
        raise UserError(what, where=f"{path}: feature {fids[malformed[0]]}", hint="repair it in a GIS, or remove it")
    geometry_types = shapely.get_type_id(geometries)
    is_polygonal = np.isin(geometry_types, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
    is_polygonal &= ~shapely.is_empty(geometries)
    polygonal_rows = np.flatnonzero(is_polygonal)
    # A multipolygon gives several polygons. geometry_of_polygon is an index into polygonal_rows.
    polygons, geometry_of_polygon = shapely.get_parts(geometries[polygonal_rows], return_index=True)
    feature_index = polygonal_rows[geometry_of_polygon]  # (P,) row of the feature of each polygon
    # One object per ring. np.array would return a 3-D array if all rings have the same length.
    rings = np.empty(len(polygons), object)
    # [:-1] drops the last point of each ring, which repeats the first.
    rings[:] = [shapely.get_coordinates(ring)[:-1] for ring in shapely.get_exterior_ring(polygons)]
    notes: Counter[Note] = Counter()
    notes[NOT_POLYGONS] = int((~is_polygonal).sum())
    notes[MULTIPOLYGONS] = int((np.bincount(feature_index) > 1).sum()) if len(feature_index) else 0
    notes[HOLES] = int((shapely.get_num_interior_rings(polygons) > 0).sum())
    columns = {field: column[feature_index] for field, column in zip(meta["fields"].tolist(), values)}
    nonzero_notes = +notes  # unary plus drops zero counts
    return PolygonLayer(path, meta["crs"], np.asarray(fids)[feature_index], rings, columns, nonzero_notes)
