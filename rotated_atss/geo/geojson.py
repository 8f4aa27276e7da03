"""GeoJSON (RFC 7946) and CSV of detections."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.geo.crs import crs_name
from rotated_atss.geo.features import KNOWN_CRS, PIXELS, FeatureTable


def geojson_bytes(table: FeatureTable) -> bytes:
    """Format a table as a FeatureCollection, one feature per line.

    Coordinates are longitude and latitude in WGS 84, rings are counterclockwise, and a polygon across the antimeridian
    is a MultiPolygon of its parts (RFC 7946, 3.1.6, 3.1.9, 4). Coordinates that are not those of WGS 84 are no GeoJSON
    in the strict sense: the member ``coordinates`` says ``pixels`` or ``map``.

    Args:
        table: A table of :func:`rotated_atss.geo.features.build_tables` with ``lon_lat``.

    Example:
        >>> from rotated_atss.geo.features import Features, build_tables
        >>> (table,) = build_tables(Features.from_task1({}, {}))
        >>> print(geojson_bytes(table).decode())
        {"type": "FeatureCollection", "name": "detections", "coordinates": "pixels", "features": [
        ]}
    """
    head = {"type": "FeatureCollection", "name": "detections"}
    if table.coordinates != KNOWN_CRS:
        head["coordinates"] = table.coordinates
    features = ",\n".join(_features(table))
    return f'{json.dumps(head)[:-1]}, "features": [\n{features}{chr(10) if features else ""}]}}\n'.encode()


def _features(table: FeatureTable) -> Iterator[str]:
    names = [json.dumps(name) for name in table.columns]
    columns = [_json_values(column) for column in table.columns.values()]
    properties = ", ".join(f"{name}: %s" for name in names).join("{}")
    for values, geometry in zip(zip(*columns), _geometries(table), strict=True):
        yield f'{{"type": "Feature", "properties": {properties % values}, "geometry": {geometry}}}'


def _json_values(column: NDArray) -> list[str]:
    if column.dtype == object:
        texts = {value: json.dumps(value, ensure_ascii=False) for value in set(column.tolist())}
        return [texts[value] for value in column.tolist()]
    return _numbers(column, "null")


def _geometries(table: FeatureTable) -> Iterator[str]:
    split = (table.rings[..., 0].max(axis=1) > 180) & (table.coordinates == KNOWN_CRS)
    for index, (is_finite, is_split) in enumerate(zip(table.finite.tolist(), split.tolist())):
        if not is_finite:
            yield "null"
        elif is_split:
            yield json.dumps(lon_lat_geometry(table.rings[index]))
        else:
            yield f'{{"type": "Polygon", "coordinates": [{table.rings[index].tolist()}]}}'


def lon_lat_geometry(ring: NDArray[np.float64]) -> dict[str, Any]:
    """Return a ring in longitude and latitude as a geometry of GeoJSON.

    Args:
        ring: (5, 2) degrees, as :func:`rotated_atss.geo.features.lon_lat_rings` returns it.

    Example:
        >>> lon_lat_geometry(np.zeros((5, 2)))["type"]
        'Polygon'
    """
    if ring[:, 0].max() <= 180:
        return {"type": "Polygon", "coordinates": [ring.tolist()]}
    return {"type": "MultiPolygon", "coordinates": [[part] for part in split_ring(ring)]}


def split_ring(ring: NDArray[np.float64]) -> list[list[list[float]]]:
    """Split a ring at the antimeridian.

    Args:
        ring: (5, 2) longitude and latitude, some longitudes above 180.

    Returns:
        The parts west and east of 180 degrees, counterclockwise and closed, with longitudes in [-180, 180].

    Example:
        >>> ring = np.array([[179.0, 0], [181, 0], [181, 1], [179, 1], [179, 0]])
        >>> [sorted({x for x, _ in part}) for part in split_ring(ring)]
        [[179.0, 180.0], [-180.0, -179.0]]
    """
    import shapely  # takes 0.1 s

    polygon = shapely.Polygon(ring)
    parts = []
    for offset in (0, 360):
        inside = shapely.box(offset - 180, -90, offset + 180, 90)
        cut = shapely.orient_polygons(polygon.intersection(inside))
        for part in shapely.get_parts(cut):
            if part.geom_type == "Polygon":
                parts.append([[x - offset, y] for x, y in part.exterior.coords])
    return parts


def csv_bytes(tables: Sequence[FeatureTable]) -> bytes:
    r"""Format tables as CSV: the columns, ``crs`` and the polygon as well-known text in ``WKT``.

    Args:
        tables: Tables of :func:`rotated_atss.geo.features.build_tables`. The column ``crs`` has the CRS of each row,
            ``pixels``, or ``unknown``.

    Example:
        >>> from rotated_atss.geo.features import Features, build_tables
        >>> csv_bytes(build_tables(Features.from_task1({}, {})))
        b'class,score,image,center_x,center_y,length_m,width_m,heading_deg,crs,WKT\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*tables[0].columns, "crs", "WKT"])
    for table in tables:
        crs = PIXELS if table.coordinates == PIXELS else "unknown" if table.crs is None else crs_name(table.crs)
        columns = [
            column.tolist() if column.dtype == object else _numbers(column, "") for column in table.columns.values()
        ]
        writer.writerows((*values, crs, ring) for values, ring in zip(zip(*columns), _wkt(table)))
    return text.getvalue().encode()


def _numbers(column: NDArray, unknown: str) -> list[str]:
    """Return the shortest text of each number, and a text for those that are not finite."""
    finite = np.isfinite(column)
    return [repr(value) if is_finite else unknown for value, is_finite in zip(column.tolist(), finite.tolist())]


def _wkt(table: FeatureTable) -> Iterator[str]:
    for ring, is_finite in zip(table.rings, table.finite.tolist()):
        points = ", ".join(f"{x!r} {y!r}" for x, y in ring.tolist())
        yield f"POLYGON (({points}))" if is_finite else "POLYGON EMPTY"
