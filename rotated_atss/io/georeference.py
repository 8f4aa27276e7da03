"""Georeference of an image: affine transform from pixels to map coordinates, and coordinate reference system."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rotated_atss.errors import UserError


@dataclass(frozen=True)
class Georeference:
    """Map position of the pixels of an image.

    Attributes:
        transform: ``(a, b, c, d, e, f)``, as in rasterio: ``x = a * column + b * row + c``,
            ``y = d * column + e * row + f``. Column 0, row 0 is the upper left corner of the upper left pixel.
        crs: Coordinate reference system as WKT or ``AUTHORITY:CODE``; None if it is unknown.

    Raises:
        UserError: The transform is not invertible.

    Example:
        >>> Georeference((0.25, 0, 447000, 0, -0.25, 4427000), "EPSG:32650").to_map([[4, 8]]).tolist()
        [[447001.0, 4426998.0]]
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str | None = None

    def __post_init__(self) -> None:
        a, b, _, d, e, _ = self.transform
        determinant = a * e - b * d
        if not np.isfinite(self.transform).all() or determinant == 0:
            raise UserError(f"the transform to map coordinates is not invertible, got {self.transform}")

    def to_map(self, points: ArrayLike) -> NDArray[np.float64]:
        """Transform pixel coordinates x, y (..., 2) to map coordinates x, y of the CRS.

        Example:
            >>> Georeference((2, 0, 10, 0, -2, 20)).to_map([1.5, 1]).tolist()
            [13.0, 18.0]
        """
        a, b, c, d, e, f = self.transform
        # the points are rows, so the matrix [[a, b], [d, e]] is transposed
        return np.asarray(points, np.float64) @ np.array([[a, d], [b, e]]) + np.array([c, f])

    def to_pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        """Transform map coordinates x, y (..., 2) of the CRS to pixel coordinates x, y.

        Example:
            >>> Georeference((2, 0, 10, 0, -2, 20)).to_pixels([13.0, 18.0]).tolist()
            [1.5, 1.0]
        """
        a, b, c, d, e, f = self.transform
        return (np.asarray(points, np.float64) - np.array([c, f])) @ np.linalg.inv(np.array([[a, d], [b, e]]))
