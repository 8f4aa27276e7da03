"""Check the labeled objects of all images at once with NumPy: areas, corners, borders, duplicates and sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rotated_atss.data_check.kinds import MAX_ASPECT_RATIO, OUTSIDE_TOLERANCE_PX, SAME_OBJECT_IOU, TINY_SIDE_PX
from rotated_atss.data_check.problems import Problem
from rotated_atss.label_formats.convert import where_of
from rotated_atss.label_formats.geometry import horizontal_polygon
from rotated_atss.label_formats.records import ImageLabels
from rotated_atss.ops.polygon_iou import (
    polygon_areas,
    polygon_hbbs,
    polygon_intersections,
    polygon_ious,
    self_crossing,
    signed_polygon_areas,
)
from rotated_atss.ops.polygon_pairs import iou_upper_bounds, iter_overlapping_pairs
from rotated_atss.tiling.crop import MIN_AREA

_Finding = tuple[int, str, str]  # index of the object in the table, kind of problem, message


@dataclass(frozen=True)
class ObjectTable:
    """The objects of many images as arrays with one row per object.

    Attributes:
        records: Labels per image.
        polygons: (N, 8) float64, corners in pixels.
        image_index: (N,) int64, index into ``records``.
        record_rows: (N,) int64, index of the object within its record.
        class_indices: (N,) int64; classes are numbered in order of first occurrence.
        image_sizes: (N, 2) float64, width and height of the image in pixels, NaN where they are unknown.
    """

    records: Sequence[ImageLabels]
    polygons: np.ndarray
    image_index: np.ndarray
    record_rows: np.ndarray
    class_indices: np.ndarray
    image_sizes: np.ndarray

    @classmethod
    def from_records(cls, records: Sequence[ImageLabels], sizes: Sequence[tuple[int, int] | None]) -> ObjectTable:
        """Build the table from the labels and the size of each image; a size is None if it is unknown."""
        object_counts = np.array([len(record) for record in records], dtype=np.int64)
        index_by_class: dict[str, int] = {}
        class_indices = [
            index_by_class.setdefault(name, len(index_by_class)) for record in records for name in record.classes
        ]
        size_rows = np.array([(np.nan, np.nan) if size is None else size for size in sizes], dtype=np.float64)
        return cls(
            records,
            # np.concatenate needs at least one array, but there may be no records
            np.concatenate([np.empty((0, 8)), *(record.polygons for record in records)]),
            np.repeat(np.arange(len(records)), object_counts),
            np.concatenate([np.empty(0, dtype=np.int64), *map(np.arange, object_counts)]),
            np.array(class_indices, dtype=np.int64),
            np.repeat(size_rows.reshape(-1, 2), object_counts, axis=0),
        )

    def where(self, index: int) -> str:
        """Return ``path:line`` of an object, or ``path: object number`` if its format has no line numbers."""
        record, row = self.records[self.image_index[index]], int(self.record_rows[index])
        has_line = len(record.lines) > 0 and record.lines[row] > 0
        return where_of(record, row) if has_line else f"{record.source}: object {row + 1}"

    def name(self, index: int) -> str:
        """Return the class name of an object."""
        return self.records[self.image_index[index]].classes[self.record_rows[index]]


def check_objects(records: Sequence[ImageLabels], sizes: Sequence[tuple[int, int] | None]) -> list[Problem]:
    """Check the labeled objects of images.

    Args:
        records: Labels per image.
        sizes: Width and height of each image in pixels, or None to skip the checks that need them.

    Returns:
        Problems, sorted by image and by object.

    Example:
        >>> from pathlib import Path
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> objects = ObjectList()
        >>> objects.add([1, 2, 1, 8, 11, 8, 11, 2], "ship", where="P1.txt:1", line=1)
        >>> [str(problem) for problem in check_objects([objects.build("P1", Path("P1.txt"))], [(20, 20)])]
        ["P1.txt:1: the corners of the 'ship' are in counterclockwise order"]
    """
    table = ObjectTable.from_records(records, sizes)
    findings = sorted(finding for check in _CHECKS for finding in check(table))
    return [Problem(kind, table.where(index), message) for index, kind, message in findings]


def have_zero_area(polygons: np.ndarray) -> np.ndarray:
    """Return whether polygons (N, 8) have no area, or so little that splitting omits them: (N,) bool.

    False for self-crossing polygons, because they have an area once their corners are sorted.

    Example:
        >>> have_zero_area(np.array([[0.0, 0, 4, 0, 4, 0, 0, 0], [0, 0, 4, 0, 4, 4, 0, 4]])).tolist()
        [True, False]
    """
    return (polygon_areas(polygons) <= MIN_AREA) & ~self_crossing(polygons)


def find_first_equal(polygons: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Find, for each polygon, the first polygon of its group that has the same corners in any order.

    Args:
        polygons: (N, 8), pixels.
        groups: (N,) int. Only polygons of the same group are compared.

    Returns:
        (N,) int64, index of the first equal polygon, which is the polygon itself if no earlier one is equal.

    Example:
        >>> polygons = np.array([[0.0, 0, 4, 0, 4, 4, 0, 4], [4, 4, 0, 4, 0, 0, 4, 0]])
        >>> find_first_equal(polygons, np.zeros(2, int)).tolist()
        [0, 0]
    """
    corners = np.asarray(polygons, dtype=np.float64).reshape(-1, 4, 2)
    order = np.lexsort((corners[..., 1], corners[..., 0]), axis=-1)
    sorted_corners = np.take_along_axis(corners, order[..., None], axis=1).reshape(-1, 8)
    keys = np.concatenate([groups[:, None], sorted_corners], axis=1)
    if not len(keys):
        return np.empty(0, dtype=np.int64)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.ravel()], dtype=np.int64)


def make_clockwise(polygons: np.ndarray) -> np.ndarray:
    """Return polygons (N, 8) with their corners in clockwise order; each polygon keeps its first corner.

    The corners of self-crossing polygons are sorted by angle around the center.

    Example:
        >>> counterclockwise, crossing = [0.0, 0, 0, 4, 4, 4, 4, 0], [0.0, 0, 4, 0, 0, 4, 4, 4]
        >>> make_clockwise(np.array([counterclockwise, crossing])).tolist()
        [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0], [0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0]]
    """
    corners = np.array(polygons, dtype=np.float64).reshape(-1, 4, 2)
    crossed = np.flatnonzero(self_crossing(polygons))
    offsets = corners[crossed] - corners[crossed].mean(axis=1, keepdims=True)
    angles = np.arctan2(offsets[..., 1], offsets[..., 0])
    clockwise_angles = (angles - angles[:, :1]) % (2 * np.pi)  # measured from the first corner, as seen on the image
    order = clockwise_angles.argsort(axis=1)
    corners[crossed] = np.take_along_axis(corners[crossed], order[..., None], axis=1)
    counterclockwise = np.flatnonzero(signed_polygon_areas(corners.reshape(-1, 8)) < 0)
    corners[counterclockwise] = corners[counterclockwise][:, [0, 3, 2, 1]]
    return corners.reshape(-1, 8)


def _check_area(table: ObjectTable) -> Iterator[_Finding]:
    for index in np.flatnonzero(have_zero_area(table.polygons)).tolist():
        yield index, "zero-area", f"the {_quoted_class(table, index)} has no area"


def _check_order(table: ObjectTable) -> Iterator[_Finding]:
    crossed = self_crossing(table.polygons)
    for index in np.flatnonzero(crossed).tolist():
        yield index, "self-crossing", f"two sides of the {_quoted_class(table, index)} cross"
    is_counterclockwise = signed_polygon_areas(table.polygons) < -MIN_AREA
    for index in np.flatnonzero(is_counterclockwise & ~crossed).tolist():
        yield index, "vertex-order", f"the corners of the {_quoted_class(table, index)} are in counterclockwise order"


def _check_border(table: ObjectTable) -> Iterator[_Finding]:
    x1, y1, x2, y2 = polygon_hbbs(table.polygons).T
    width, height = table.image_sizes.T
    is_outside = (x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height)  # False where the size is NaN
    for index in np.flatnonzero(is_outside).tolist():
        size = _size_text(table.image_sizes[index])
        yield index, "outside-image", f"the {_quoted_class(table, index)} lies outside the image of {size}"
    excess_px = np.max([-x1, -y1, x2 - width, y2 - height], axis=0)  # NaN where the size is NaN
    partly_outside = np.flatnonzero((excess_px > OUTSIDE_TOLERANCE_PX) & ~is_outside)
    polygons, sizes = table.polygons[partly_outside], table.image_sizes[partly_outside]
    image_borders = np.array([horizontal_polygon(0.0, 0.0, *size) for size in sizes]).reshape(-1, 8)
    areas = np.maximum(polygon_areas(polygons), MIN_AREA)
    fractions_inside = polygon_intersections(polygons, image_borders) / areas
    for index, fraction in zip(partly_outside.tolist(), (1 - fractions_inside).clip(0, 1).tolist()):
        what = f"the {_quoted_class(table, index)} extends {excess_px[index]:.3g} px beyond the image"
        size = _size_text(table.image_sizes[index])
        yield index, "partly-outside", f"{what} of {size} ({fraction:.0%} of the object's area)"


def _check_duplicates(table: ObjectTable) -> Iterator[_Finding]:
    first_equal = _find_first_equal_object(table)
    for index in np.flatnonzero(first_equal < np.arange(len(first_equal))).tolist():
        what = f"the {_quoted_class(table, index)} equals the one at {table.where(first_equal[index])}"
        yield index, "duplicate-object", what


def _check_two_classes(table: ObjectTable) -> Iterator[_Finding]:
    first_equal = _find_first_equal_object(table)
    # only the first of equal objects is compared, because N equal objects would give N^2 pairs
    distinct = np.flatnonzero(first_equal == np.arange(len(first_equal)))
    polygons, class_indices = table.polygons[distinct], table.class_indices[distinct]
    hbbs, areas = polygon_hbbs(polygons), polygon_areas(polygons)
    for first, second in iter_overlapping_pairs(hbbs, table.image_index[distinct]):
        bounds = iou_upper_bounds(hbbs[first], areas[first], hbbs[second], areas[second])
        is_candidate = (class_indices[first] != class_indices[second]) & (bounds >= SAME_OBJECT_IOU)
        first, second = first[is_candidate], second[is_candidate]
        ious = polygon_ious(polygons[first], polygons[second])
        for i, j, iou in zip(distinct[first].tolist(), distinct[second].tolist(), ious.tolist()):
            if iou >= SAME_OBJECT_IOU:
                other = f"the {_quoted_class(table, i)} at {table.where(i)}"
                yield j, "two-classes", f"the {_quoted_class(table, j)} has IoU {iou:.2f} with {other}"


def _find_first_equal_object(table: ObjectTable) -> np.ndarray:
    """Return, for each object, the index of the first object of its image and class that has the same corners."""
    num_classes = table.class_indices.max(initial=0) + 1
    groups = table.image_index * num_classes + table.class_indices  # one number per pair of image and class
    return find_first_equal(table.polygons, groups)


def _check_sizes(table: ObjectTable) -> Iterator[_Finding]:
    corners = table.polygons.reshape(-1, 4, 2)
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=-1)  # (N, 4)
    # opposite sides of a quadrilateral may differ in length, so each pair is averaged
    mean_sides = np.stack([sides[:, 0::2].mean(axis=1), sides[:, 1::2].mean(axis=1)])  # (2, N)
    long_sides, short_sides = mean_sides.max(axis=0), mean_sides.min(axis=0)
    has_area = ~have_zero_area(table.polygons)
    for index in np.flatnonzero((short_sides < TINY_SIDE_PX) & has_area).tolist():
        size = f"{long_sides[index]:.3g} x {short_sides[index]:.3g} px"
        yield index, "tiny-object", f"the {_quoted_class(table, index)} is {size} in size"
    ratios = long_sides / np.maximum(short_sides, 1e-9)
    for index in np.flatnonzero((ratios > MAX_ASPECT_RATIO) & has_area).tolist():
        yield index, "aspect-ratio", f"the {_quoted_class(table, index)} is {ratios[index]:.0f} times as long as wide"
    diagonals = np.hypot(*table.image_sizes.T)  # NaN where the size is unknown, so that the comparison is False
    for index in np.flatnonzero(long_sides > diagonals).tolist():
        what = f"the {_quoted_class(table, index)} is {long_sides[index]:.0f} px long"
        yield index, "larger-than-image", f"{what}, but the image is {_size_text(table.image_sizes[index])}"


def _quoted_class(table: ObjectTable, index: int) -> str:
    return f"'{table.name(index)}'"


def _size_text(size: np.ndarray) -> str:
    return f"{size[0]:.0f} x {size[1]:.0f} px"


_CHECKS: tuple[Callable[[ObjectTable], Iterator[_Finding]], ...] = (
    _check_area, _check_order, _check_border, _check_duplicates, _check_two_classes, _check_sizes,
)  # fmt: skip
