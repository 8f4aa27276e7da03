"""Write detections as GeoJSON (RFC 7946) or CSV."""

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

    Coordinates are longitude and latitude in WGS 84, and rings are counterclockwise. A polygon across the antimeridian
    is split there and written as a MultiPolygon (RFC 7946, sections 3.1.6, 3.1.9 and 4).

    If the georeference of the images is missing or its CRS is unknown or local, the file contains pixels or map
    coordinates instead, which RFC 7946 does not allow. A member ``coordinates`` with the value ``pixels`` or ``map``
    then marks the file.

    Args:
        path: The file.
        tables: A list of exactly one table, as :func:`rotated_atss.geo.features.build_tables` returns it with
            ``lon_lat=True``.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from rotated_atss.geo.features import Features, build_tables
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_geojson(f"{folder}/a.geojson", build_tables(Features.from_task1({}, {}), lon_lat=True))
        ...     print(Path(folder, "a.geojson").read_text())
        {"type": "FeatureCollection", "name": "detections", "coordinates": "pixels", "features": [
        ]}
    """
    (table,) = tables
    header = {"type": "FeatureCollection", "name": "detections"}
    if table.coordinates != KNOWN_CRS:
        header["coordinates"] = table.coordinates
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        header_without_brace = json.dumps(header).removesuffix("}")  # the closing brace follows after the features
        file.write(f'{header_without_brace}, "features": [')
        separator = "\n"
        for chunk in table.iter_chunks():
            for feature in _iter_features(chunk):
                file.write(separator + feature)
                separator = ",\n"
        file.write("\n]}\n")


def _iter_features(table: FeatureTable) -> Iterator[str]:
    """Yield every feature as JSON."""
    names = [json.dumps(name) for name in table.columns]
    columns = [_format_json_values(column) for column in table.columns.values()]
    properties_format = "{" + ", ".join(f"{name}: %s" for name in names) + "}"  # %s stands for the JSON of a value
    for values, geometry in zip(zip(*columns), _iter_geometries(table), strict=True):
        yield f'{{"type": "Feature", "properties": {properties_format % values}, "geometry": {geometry}}}'


def _format_json_values(column: NDArray) -> list[str]:
    """Return every value of a column as JSON."""
    if column.dtype == object:
        json_of_value = {value: json.dumps(value, ensure_ascii=False) for value in set(column.tolist())}
        return [json_of_value[value] for value in column.tolist()]
    return _format_numbers(column, "null")


def _iter_geometries(table: FeatureTable) -> Iterator[str]:
    """Yield the geometry of every feature as JSON."""
    # write_geojson gets a known CRS only as longitude and latitude. A ring across the antimeridian then continues above
    # 180 degrees.
    is_lon_lat = table.coordinates == KNOWN_CRS
    across_antimeridian = np.any(table.rings[..., 0] > 180, axis=1) & is_lon_lat
    for index, (is_finite, is_across) in enumerate(zip(table.is_finite.tolist(), across_antimeridian.tolist())):
        if not is_finite:
            yield "null"
        elif is_across:
            yield json.dumps(lon_lat_geometry(table.rings[index]))
        else:
            yield f'{{"type": "Polygon", "coordinates": [{table.rings[index].tolist()}]}}'


def lon_lat_geometry(ring: NDArray[np.float64]) -> dict[str, Any]:
    """Convert a ring in longitude and latitude to a GeoJSON geometry.

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
        The part to the west and the part to the east of 180 degrees, as closed, counterclockwise rings with longitudes
        in [-180, 180]. A part is a list of ``[longitude, latitude]``.

    Example:
        >>> ring = np.array([[179.0, 0], [181, 0], [181, 1], [179, 1], [179, 0]])
        >>> [sorted({x for x, _ in part}) for part in split_ring(ring)]
        [[179.0, 180.0], [-180.0, -179.0]]
    """
    import shapely  # imported only here, because the import takes 0.1 s

    polygon = shapely.Polygon(ring)
    parts = []
    for offset in (0, 360):  # for longitudes from -180 to 180, then for longitudes from 180 to 540
        turn = shapely.box(offset - 180, -90, offset + 180, 90)
        inside = shapely.orient_polygons(polygon.intersection(turn))
        for part in shapely.get_parts(inside):
            if part.geom_type == "Polygon":  # a part can also be a point or a line on the border of the box
                parts.append([[x - offset, y] for x, y in part.exterior.coords])
    return parts


def write_csv(path: str | Path, tables: Sequence[FeatureTable]) -> None:
    r"""Write a CSV file with the columns of the tables, ``crs`` and ``WKT``.

    ``crs`` is the name of the CRS, ``pixels`` or ``unknown``. ``WKT`` is the polygon as well-known text.

    Args:
        path: The file.
        tables: Tables of :func:`rotated_atss.geo.features.build_tables`; all have the same columns.

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
            map_crs = "unknown" if table.crs is None else crs_name(table.crs)
            crs = PIXELS if table.coordinates == PIXELS else map_crs
            for chunk in table.iter_chunks():
                columns = [
                    column.tolist() if column.dtype == object else _format_numbers(column, "")
                    for column in chunk.columns.values()
                ]
                rows = zip(*columns)
                writer.writerows((*values, crs, polygon) for values, polygon in zip(rows, _iter_wkt(chunk)))


def _format_numbers(column: NDArray, unknown: str) -> list[str]:
    """Format each number with the fewest digits that identify it, and numbers that are not finite as ``unknown``."""
    finite = np.isfinite(column)
    return [repr(value) if is_finite else unknown for value, is_finite in zip(column.tolist(), finite.tolist())]


def _iter_wkt(table: FeatureTable) -> Iterator[str]:
    """Yield every polygon as well-known text."""
    for ring, is_finite in zip(table.rings, table.is_finite.tolist()):
        points = ", ".join(f"{x!r} {y!r}" for x, y in ring.tolist())
        yield f"POLYGON (({points}))" if is_finite else "POLYGON EMPTY"
