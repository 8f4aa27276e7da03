"""Measure lengths and directions on the ground, along geodesics of the WGS 84 ellipsoid.

These lengths do not depend on the projection of the map, unlike lengths in map units.
"""

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
        length: (N,) mean length of the longer pair of opposite sides, meters.
        width: (N,) mean length of the shorter pair of opposite sides, meters.
        heading: (N,) direction of the longer sides, degrees clockwise from true north, in [0, 180).
    """

    length: NDArray[np.float64]
    width: NDArray[np.float64]
    heading: NDArray[np.float64]


def measure_quadrilaterals(polygons: NDArray[np.float64], georeference: Georeference | None) -> GroundSizes:
    """Measure quadrilaterals on the ground.

    Lengths are meters on the ellipsoid, even if a map unit is not a meter on the ground. Examples of such maps are maps
    in degrees, maps in Web Mercator, and UTM maps, which have a scale factor.

    Args:
        polygons: (N, 4, 2) corners in pixels, in order around the polygon.
        georeference: Georeference of the image.

    Returns:
        Sizes and directions; NaN if the CRS is unknown or local (:func:`rotated_atss.geo.crs.is_on_earth`).

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
    length_01 = (_distances(p0, p1, georeference) + _distances(p3, p2, georeference)) / 2
    length_12 = (_distances(p1, p2, georeference) + _distances(p0, p3, georeference)) / 2
    # The line from the center of a quadrilateral to the center of a shorter side has the direction of the longer sides.
    shorter_side_centers = np.where((length_01 >= length_12)[:, None], p1 + p2, p2 + p3) / 2
    azimuths, _ = _geodesics((p0 + p1 + p2 + p3) / 4, shorter_side_centers, georeference)
    headings = azimuths % 180
    # A heading of 180 is the same as 0, but rounding errors can leave a heading just below 180.
    headings = np.where(np.isclose(headings, 180, rtol=0, atol=1e-9), 0.0, headings)
    return GroundSizes(np.maximum(length_01, length_12), np.minimum(length_01, length_12), headings)


def ground_resolution(georeference: Georeference | None, image_wh: Sequence[int]) -> float | None:
    """Return the side length on the ground of a pixel at the center of an image.

    Args:
        georeference: Georeference of the image.
        image_wh: Width and height of the image, pixels.

    Returns:
        The square root of the area of the pixel, in meters per pixel. None if the CRS is unknown or local, or if the
        image lies outside the area of the CRS.

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
    center = np.array(image_wh, np.float64) / 2
    half_steps = np.array([[0.5, 0.0], [0.0, 0.5]])  # half a pixel along x and along y
    _, lengths = _geodesics(center - half_steps, center + half_steps, georeference)
    azimuths, _ = _geodesics(center[None].repeat(2, 0), center + half_steps, georeference)  # along x and along y
    # On the ground, a pixel is a parallelogram. Its area is the product of two sides and the sine of the angle between
    # them.
    area = float(lengths.prod() * abs(np.sin(np.deg2rad(azimuths[0] - azimuths[1]))))
    return area**0.5 if np.isfinite(area) and area > 0 else None


def _distances(
    starts: NDArray[np.float64], ends: NDArray[np.float64], georeference: Georeference
) -> NDArray[np.float64]:
    return _geodesics(starts, ends, georeference)[1]


def _geodesics(
    starts: NDArray[np.float64], ends: NDArray[np.float64], georeference: Georeference
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the geodesics from ``starts`` to ``ends``, (N, 2) each, points in pixels.

    Returns:
        azimuths: (N,) directions at the starts, in degrees clockwise from true north.
        lengths: (N,) meters.
    """
    (lon0, lat0), (lon1, lat1) = (
        transform_points(georeference.to_map(points), str(georeference.crs), LON_LAT).T for points in (starts, ends)
    )
    geod = require("pyproj", "geo").Geod(ellps="WGS84")
    azimuths, _, lengths = geod.inv(lon0, lat0, lon1, lat1)
    return np.asarray(azimuths), np.asarray(lengths)
