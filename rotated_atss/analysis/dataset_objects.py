"""Arrays of the images and objects of a dataset, from which its statistics are computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rotated_atss.analysis.shapes import Shapes, fit_shapes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class DatasetObjects:
    """Images and objects of a dataset.

    Attributes:
        image_names: Names of the M images, without folder and suffix.
        image_wh: (M, 2) width and height in pixels; 0 if unknown.
        ground_resolution: (M,) meters per pixel; NaN if unknown.
        image_index: (N,) index of the image of each of the N objects, ascending.
        class_index: (N,) index of the class of each object.
        class_names: Names of the classes.
        polygons: (N, 8) corners in pixels.
        difficult: (N,) difficult flag of the labels: 0 or 1, or 2 for an object that splitting has truncated.
        notes: One line per remark on the labels, for example on boxes that were left out.

    Example:
        >>> polygons = np.array([[0.0, 0, 30, 0, 30, 10, 0, 10]])
        >>> zero = np.zeros(1, np.int64)  # the only image, the only class, and not difficult
        >>> objects = DatasetObjects(
        ...     image_names=("P1",), image_wh=np.array([[64, 64]]), ground_resolution=np.array([np.nan]),
        ...     image_index=zero, class_index=zero, class_names=("ship",), polygons=polygons, difficult=zero,
        ... )
        >>> float(objects.long_side[0]), float(objects.aspect[0]), float(objects.extent[0])
        (30.0, 3.0, 30.0)
    """

    image_names: tuple[str, ...]
    image_wh: Integers
    ground_resolution: Floats
    image_index: Integers
    class_index: Integers
    class_names: tuple[str, ...]
    polygons: Floats
    difficult: Integers
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.class_index)

    @cached_property
    def shapes(self) -> Shapes:
        """Minimum-area rectangle around the polygon of each object, with the properties of these rectangles."""
        return fit_shapes(self.polygons)

    @property
    def boxes(self) -> Floats:
        """Rectangle of each object, (N, 5) ``cx, cy, long side, short side, angle`` in pixels and radians."""
        return self.shapes.boxes

    @cached_property
    def has_area(self) -> NDArray[np.bool_]:
        """Whether the rectangle of each object has an area, (N,)."""
        return self.short_side > 0

    @property
    def long_side(self) -> Floats:
        """Longer side of each rectangle, (N,) pixels."""
        return self.boxes[:, 2]

    @property
    def short_side(self) -> Floats:
        """Shorter side of each rectangle, (N,) pixels."""
        return self.boxes[:, 3]

    @cached_property
    def size(self) -> Floats:
        """Square root of the area of each rectangle, (N,) pixels."""
        return self.shapes.size

    @cached_property
    def aspect(self) -> Floats:
        """Long side over short side, (N,); meaningless for objects without area."""
        return self.shapes.aspect_ratio

    @cached_property
    def angle_deg(self) -> Floats:
        """Direction of the long side, (N,) degrees clockwise from the x axis, in [-90, 90)."""
        return self.shapes.angle_deg

    @cached_property
    def extent(self) -> Floats:
        """Longer side of the horizontal box around each polygon, (N,) pixels.

        A square window must be at least this large to contain the object.
        """
        corners = self.polygons.reshape(-1, 4, 2)
        return (corners.max(axis=1) - corners.min(axis=1)).max(axis=1)
