"""Parse coordinate reference systems (CRS), look up their names, and transform coordinates between them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rotated_atss.errors import UserError, quote
from rotated_atss.io.requirements import require

if TYPE_CHECKING:
    import pyproj

LON_LAT = "OGC:CRS84"
"""The CRS of GeoJSON: WGS 84 in degrees, with the longitude first."""


@lru_cache(maxsize=64)
def parse_crs(crs: str) -> pyproj.CRS:
    """Parse a coordinate reference system.

    Args:
        crs: A WKT string or ``AUTHORITY:CODE``.

    Raises:
        UserError: pyproj does not know the CRS, or pyproj is not installed.

    Example:
        >>> parse_crs("EPSG:32650").name
        'WGS 84 / UTM zone 50N'
    """
    pyproj = require("pyproj", "geo")
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError:
        raise UserError(f"{quote(crs)} is not a coordinate reference system") from None


@lru_cache(maxsize=64)
def crs_name(crs: str) -> str:
    """Return a CRS as ``AUTHORITY:CODE``, or its plain name if no authority lists it.

    Example:
        >>> crs_name(parse_crs("EPSG:32650").to_wkt())
        'EPSG:32650'
    """
    return authority_code(crs) or parse_crs(crs).name


@lru_cache(maxsize=64)
def authority_code(crs: str) -> str | None:
    """Return a CRS as ``AUTHORITY:CODE``; None if no authority lists it.

    Example:
        >>> authority_code(parse_crs("EPSG:32650").to_wkt())
        'EPSG:32650'
    """
    authority_and_code = parse_crs(crs).to_authority(min_confidence=100)  # 100 percent requires equal definitions
    return ":".join(authority_and_code) if authority_and_code else None


@lru_cache(maxsize=64)
def is_on_earth(crs: str | None) -> bool:
    """Return whether coordinates of a CRS can be converted to longitude and latitude.

    Coordinates cannot be converted if there is no CRS (None), or if the CRS is local to a site or an image.

    Example:
        >>> is_on_earth("EPSG:32650"), is_on_earth(None), is_on_earth('LOCAL_CS["site",UNIT["metre",1]]')
        (True, False, False)
    """
    if crs is None:
        return False
    pyproj = require("pyproj", "geo")
    try:
        _get_transformer(crs, LON_LAT)
    except pyproj.exceptions.ProjError:
        return False
    return True


def transform_points(points: ArrayLike, source: str, target: str) -> NDArray[np.float64]:
    """Transform coordinates from one CRS to another.

    Args:
        points: (..., 2) x (easting or longitude) and y (northing or latitude), in this order even if the CRS defines
            a different axis order.
        source: CRS of the points, as for :func:`parse_crs`.
        target: CRS of the result.

    Returns:
        (..., 2) x and y in the target CRS. They are infinite where the transformation is not defined.

    Raises:
        UserError: A CRS is not known, or pyproj is not installed.

    Example:
        >>> transform_points([[500000.0, 0.0]], "EPSG:32650", "EPSG:4326").round(6).tolist()
        [[117.0, 0.0]]
    """
    points = np.asarray(points, np.float64)
    x, y = _get_transformer(source, target).transform(points[..., 0], points[..., 1])
    return np.stack((x, y), axis=-1)


@lru_cache(maxsize=64)
def _get_transformer(source: str, target: str) -> pyproj.Transformer:
    return require("pyproj", "geo").Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)
