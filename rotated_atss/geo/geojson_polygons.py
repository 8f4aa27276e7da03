"""Read polygons from GeoJSON without GDAL.

GDAL is not used here, because it downloads the CRS definition if the file contains a URL instead of the CRS.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.coco.json_file import is_finite_number, read_json
from rotated_atss.errors import UserError, quote
from rotated_atss.geo.crs import parse_crs
from rotated_atss.geo.polygon_layer import HOLES, MULTIPOLYGONS, NOT_POLYGONS, Note, PolygonLayer

_DEFAULT_CRS = "EPSG:4326"  # as RFC 7946, section 4, requires; the longitude comes first in GeoJSON
_CRS_NAME_PATTERNS = (
    re.compile(r"urn:ogc:def:crs:([A-Za-z]+):[0-9.]*:([A-Za-z0-9]+)"),
    re.compile(r"https?://www\.opengis\.net/def/crs/([A-Za-z]+)/[0-9.]+/([A-Za-z0-9]+)"),  # the URL is never opened
    re.compile(r"([A-Za-z]+):([A-Za-z0-9]+)"),
)
_CRS_HINT = "write a name such as urn:ogc:def:crs:EPSG::32650, or convert the file to longitude and latitude"
_Polygon = list[NDArray[np.float64]]  # rings (K, 2); the first ring is the outer one, the others are holes


def read_geojson_layer(path: Path) -> PolygonLayer:
    """Read the polygons of a GeoJSON file: a FeatureCollection, a single feature or a geometry.

    Args:
        path: A GeoJSON file.

    Returns:
        The polygons. The id of a feature is its position in the file, from 0.

    Raises:
        UserError: The file is not GeoJSON, its CRS is unknown or given as a link, or a polygon is malformed.

    Example:
        >>> import tempfile
        >>> text = '{"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 2]]]}'
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.geojson").write_text(text)
        ...     read_geojson_layer(Path(folder, "a.geojson")).rings[0].shape
        (3, 2)
    """
    content = read_json(path)
    crs = read_crs_member(content, path)
    notes: Counter[Note] = Counter()  # counts what the reader changes or leaves out
    outer_rings: list[NDArray[np.float64]] = []
    feature_ids: list[int] = []
    features = _list_features(content, path)
    for index, feature in enumerate(features):
        for outer, *holes in _iter_polygons(feature, f"{path}: features[{index}]", notes):
            if holes:
                notes[HOLES] += 1
            outer_rings.append(outer)
            feature_ids.append(index)
    # One object per ring. np.array(outer_rings) would return a 3-D array if all rings have the same length.
    ring_array = np.empty(len(outer_rings), object)
    ring_array[:] = outer_rings
    columns = _build_columns(features, feature_ids)
    return PolygonLayer(path, crs, np.array(feature_ids, np.int64), ring_array, columns, notes)


def read_crs_member(content: Any, path: Path) -> str:
    """Return the CRS that the member ``crs`` of a GeoJSON file names, as ``AUTHORITY:CODE``.

    Without this member, the CRS is WGS 84.

    Args:
        content: Parsed JSON of the file.
        path: The file, for errors.

    Raises:
        UserError: The CRS is unknown, or is a link to a definition (links are never opened).

    Example:
        >>> named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32650"}}
        >>> read_crs_member({"crs": named}, Path("a.geojson"))
        'EPSG:32650'
    """
    member = content.get("crs") if isinstance(content, dict) else None
    if not member:
        return _DEFAULT_CRS
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str) or member.get("type") != "name":
        raise UserError("the member crs must be the name of a CRS, not a link", where=path, hint=_CRS_HINT)
    matches = (pattern.fullmatch(name.strip()) for pattern in _CRS_NAME_PATTERNS)
    match = next((match for match in matches if match is not None), None)
    if match is None:
        raise UserError(f"the member crs must name a CRS by its code, got {quote(name)}", where=path, hint=_CRS_HINT)
    code = f"{match[1]}:{match[2]}"
    try:
        parse_crs(code)
    except UserError as error:
        raise UserError(f"the member crs: {error.what}", where=path, hint=_CRS_HINT) from None
    return code


def _list_features(content: Any, path: Path) -> Sequence[Any]:
    """Return the features of a GeoJSON file. A file of a single geometry has one feature, without properties."""
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "FeatureCollection" and isinstance(content.get("features"), list):
        return content["features"]
    if kind == "Feature":
        return [content]
    if kind in ("Polygon", "MultiPolygon"):
        return [{"type": "Feature", "properties": {}, "geometry": content}]
    hint = "expected a FeatureCollection with a list 'features', a Feature, a Polygon or a MultiPolygon"
    raise UserError("not GeoJSON with polygons", where=path, hint=hint)


def _iter_polygons(feature: Any, where: str, notes: Counter[Note]) -> Iterator[_Polygon]:
    """Yield the polygons of a feature. Multipolygons, and features that are not polygons, are counted in ``notes``."""
    if not isinstance(feature, Mapping):
        raise UserError(f"a feature must be an object, got {quote(feature)}", where=where)
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    coordinates = geometry.get("coordinates") if isinstance(geometry, Mapping) else None
    if kind not in ("Polygon", "MultiPolygon") or not coordinates:
        notes[NOT_POLYGONS] += 1
        return
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list):
        raise UserError(f"coordinates must be a list, got {quote(polygons)}", where=where)
    if len(polygons) > 1:
        notes[MULTIPOLYGONS] += 1
    for polygon in polygons:
        if not isinstance(polygon, list) or not polygon:
            raise UserError(f"a polygon must be a list of rings, got {quote(polygon)}", where=where)
        yield [_parse_ring(ring, where) for ring in polygon]


def _parse_ring(ring: Any, where: str) -> NDArray[np.float64]:
    """Return the corners (K, 2) of a ring, without the last point if it repeats the first."""
    points = ring if isinstance(ring, list) else []  # an empty list raises the error about too few corners below
    for point in points:
        if not isinstance(point, list) or len(point) < 2 or not all(map(is_finite_number, point[:2])):
            raise UserError(f"a point must be x, y, got {quote(point)}", where=where)
    corners = np.array([point[:2] for point in points], np.float64).reshape(-1, 2)
    if len(corners) > 1 and (corners[0] == corners[-1]).all():
        corners = corners[:-1]
    if len(corners) < 3:
        raise UserError(f"a polygon must have at least three corners, got {len(corners)}", where=where)
    return corners


def _get_properties(feature: Any) -> Mapping[str, Any]:
    """Return the properties of a feature; empty if they are missing or malformed."""
    properties = feature.get("properties") if isinstance(feature, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _build_columns(features: Sequence[Any], feature_ids: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Return one column per property, with one value per polygon.

    A column is float64 if all its values are numbers, booleans or null, unless all are null. Null becomes NaN. Any
    other column is an object array.

    Args:
        features: The features of the file.
        feature_ids: For each polygon, the index of its feature.
    """
    properties = [_get_properties(feature) for feature in features]
    columns = {}
    for name in dict.fromkeys(name for index in feature_ids for name in properties[index]):
        values = [properties[index].get(name) for index in feature_ids]
        are_numbers = all(value is None or isinstance(value, bool) or is_finite_number(value) for value in values)
        if are_numbers and any(value is not None for value in values):
            columns[name] = np.array([np.nan if value is None else value for value in values], np.float64)
        else:
            columns[name] = np.empty(len(values), object)
            columns[name][:] = values
    return columns
