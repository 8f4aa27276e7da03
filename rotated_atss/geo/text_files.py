"""GeoJSON (RFC 7946) and CSV of detections."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.geo.crs import crs_name
from rotated_atss.geo.features import KNOWN_CRS, PIXELS, FeatureTable


def write_geojson(path: str | Path, tables: Sequence[FeatureTable]) -> None:
    """Write a FeatureCollection, one feature per line.

    Coordinates are longitude and latitude in WGS 84, rings are counterclockwise, and a polygon across the antimeridian
    is a MultiPolygon of its parts (RFC 7946, 3.1.6, 3.1.9, 4). Coordinates that are not those of WGS 84 are no GeoJSON
    in the strict sense: the member ``coordinates`` says ``pixels`` or ``map``.

    Args:
        path: The file.
        tables: One table of :func:`rotated_atss.geo.features.build_tables` with ``lon_lat``.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from rotated_atss.geo.features import Features, build_tables
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_geojson(f"{folder}/a.geojson", build_tables(Features.from_task1({}, {})))
        ...     print(Path(folder, "a.geojson").read_text())
        {"type": "FeatureCollection", "name": "detections", "coordinates": "pixels", "features": [
        ]}
    """
    (table,) = tables
    head = {"type": "FeatureCollection", "name": "detections"}
    if table.coordinates != KNOWN_CRS:
        head["coordinates"] = table.coordinates
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f'{json.dumps(head)[:-1]}, "features": [')
        separator = "\n"
        for part in table.iter_parts():
            for feature in _features(part):
                file.write(separator + feature)
                separator = ",\n"
        file.write("\n]}\n")


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
    split = np.any(table.rings[..., 0] > 180, axis=1) & (table.coordinates == KNOWN_CRS)
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


def write_csv(path: str | Path, tables: Sequence[FeatureTable]) -> None:
    r"""Write a CSV file with the columns, ``crs``, and the polygon as well-known text in ``WKT``.

    Args:
        path: The file.
        tables: Tables of :func:`rotated_atss.geo.features.build_tables`. The column ``crs`` has the CRS of each row,
            ``pixels``, or ``unknown``.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from rotated_atss.geo.features import Features, build_tables
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_csv(f"{folder}/a.csv", build_tables(Features.from_task1({}, {})))
        ...     Path(folder, "a.csv").read_text()
        'class,score,image,center_x,center_y,length_m,width_m,heading_deg,crs,WKT\n'
    """
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*tables[0].columns, "crs", "WKT"])
        for table in tables:
            crs = PIXELS if table.coordinates == PIXELS else "unknown" if table.crs is None else crs_name(table.crs)
            for part in table.iter_parts():
                columns = [
                    each.tolist() if each.dtype == object else _numbers(each, "") for each in part.columns.values()
                ]
                writer.writerows((*values, crs, ring) for values, ring in zip(zip(*columns), _wkt(part)))


def _numbers(column: NDArray, unknown: str) -> list[str]:
    """Return the shortest text of each number, and a text for those that are not finite."""
    finite = np.isfinite(column)
    return [repr(value) if is_finite else unknown for value, is_finite in zip(column.tolist(), finite.tolist())]


def _wkt(table: FeatureTable) -> Iterator[str]:
    for ring, is_finite in zip(table.rings, table.finite.tolist()):
        points = ", ".join(f"{x!r} {y!r}" for x, y in ring.tolist())
        yield f"POLYGON (({points}))" if is_finite else "POLYGON EMPTY"
