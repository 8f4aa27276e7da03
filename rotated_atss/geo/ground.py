"""Measures on the ground: geodesics on the WGS 84 ellipsoid, so that no map projection distorts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rotated_atss.geo.crs import LON_LAT, is_on_earth, transform_points
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.requirements import require


class GroundSizes(NamedTuple):
    """Sizes and directions of quadrilaterals on the ground.

    Attributes:
        length: (N,) mean of the two longer opposite sides, meters.
        width: (N,) mean of the two shorter opposite sides, meters.
        heading: (N,) direction of the longer sides, degrees clockwise from true north, in [0, 180).
    """

    length: NDArray[np.float64]
    width: NDArray[np.float64]
    heading: NDArray[np.float64]


def measure_quadrilaterals(polygons: NDArray[np.float64], georeference: Georeference | None) -> GroundSizes:
    """Measure quadrilaterals on the ground.

    Lengths are geodesic in every CRS: they are meters on the ellipsoid, also where a unit of the map is longer or
    shorter (Web Mercator, degrees, the scale factor of UTM).

    Args:
        polygons: (N, 4, 2) corners in pixels, in order around the polygon.
        georeference: Map position of the image.

    Returns:
        Sizes and directions; NaN without a CRS that has a place on Earth.

    Example:
        >>> georeference = Georeference((0.5, 0, 500000, 0, -0.5, 0), "EPSG:32650")
        >>> sizes = measure_quadrilaterals(np.array([[[0, 0], [40, 0], [40, 10], [0, 10]]]), georeference)
        >>> sizes.length.round(2).tolist(), sizes.width.round(2).tolist(), sizes.heading.round(2).tolist()
        ([20.01], [5.0], [90.0])
    """
    if georeference is None or not is_on_earth(georeference.crs):
        unknown = np.full(len(polygons), np.nan)
        return GroundSizes(unknown, unknown, unknown)
    p0, p1, p2, p3 = np.moveaxis(np.asarray(polygons, np.float64), 1, 0)  # (N, 2) each
    sides = (_distances(p0, p1, georeference) + _distances(p3, p2, georeference)) / 2
    others = (_distances(p1, p2, georeference) + _distances(p0, p3, georeference)) / 2
    along = (sides >= others)[:, None]
    ends = np.where(along, p1 + p2, p2 + p3) / 2  # middle of a shorter side
    azimuths, _ = _geodesics((p0 + p1 + p2 + p3) / 4, ends, georeference)
    headings = np.where(np.isclose(azimuths % 180, 180, rtol=0, atol=1e-9), 0.0, azimuths % 180)
    return GroundSizes(np.maximum(sides, others), np.minimum(sides, others), headings)


def ground_resolution(georeference: Georeference | None, size: Sequence[int]) -> float | None:
    """Return the side of a pixel on the ground at the center of an image.

    Args:
        georeference: Map position of the image.
        size: Width and height, pixels.

    Returns:
        Meters per pixel, the square root of the area of a pixel; None if the CRS is unknown or has no place on Earth,
        or if the image lies outside the area of the CRS.

    Raises:
        UserError: The CRS is malformed, or pyproj is not installed.

    Example:
        >>> round(ground_resolution(Georeference((0.25, 0, 447000, 0, -0.25, 4427000), "EPSG:32650"), (100, 100)), 4)
        0.2501
        >>> ground_resolution(None, (100, 100)) is None
        True
    """
    if georeference is None or not is_on_earth(georeference.crs):
        return None
    center = np.array(size, np.float64) / 2
    steps = np.array([[0.5, 0.0], [0.0, 0.5]])
    _, lengths = _geodesics(center - steps, center + steps, georeference)
    azimuths, _ = _geodesics(center[None].repeat(2, 0), center + steps, georeference)
    area = float(lengths.prod() * abs(np.sin(np.deg2rad(azimuths[0] - azimuths[1]))))
    return area**0.5 if np.isfinite(area) and area > 0 else None


def _distances(
    starts: NDArray[np.float64], ends: NDArray[np.float64], georeference: Georeference
) -> NDArray[np.float64]:
    return _geodesics(starts, ends, georeference)[1]


def _geodesics(
    starts: NDArray[np.float64], ends: NDArray[np.float64], georeference: Georeference
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return azimuth at the start (degrees clockwise from north) and length (meters) between pixels (N, 2)."""
    lon_lat = [
        transform_points(georeference.to_map(points), str(georeference.crs), LON_LAT) for points in (starts, ends)
    ]
    geod = require("pyproj", "geo").Geod(ellps="WGS84")
    (lon0, lat0), (lon1, lat1) = lon_lat[0].T, lon_lat[1].T
    azimuths, _, lengths = geod.inv(lon0, lat0, lon1, lat1)
    return np.asarray(azimuths), np.asarray(lengths)
