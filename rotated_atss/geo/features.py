"""Convert detections to map features: polygons in map coordinates with attribute columns.

A georeference maps the pixels of an image to coordinates in a coordinate reference system (CRS). :func:`build_tables`
creates one table of features per CRS. The tables are then written to files for a GIS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rotated_atss.dota.detections import Detections
from rotated_atss.geo.crs import LON_LAT, authority_code, crs_name, is_on_earth, transform_points
from rotated_atss.geo.ground import measure_quadrilaterals
from rotated_atss.io.georeference import Georeference

PIXELS, MAP, KNOWN_CRS = "pixels", "map", "crs"
"""Kinds of coordinates that a table can have.

``PIXELS``: pixels of the image. ``MAP``: a map whose CRS is unknown or local, so that its place on Earth is not known.
``KNOWN_CRS``: a CRS whose coordinates can be converted to longitude and latitude.
"""

VALUE_DECIMALS = 4  # for lengths in meters and headings in degrees
LON_LAT_DECIMALS = 13
"""Decimals of longitude and latitude in degrees: 1e-13 degrees are 1e-8 m, a millionth of a 1 cm pixel."""

_CHUNK_ROWS = 50_000  # number of features that are converted at a time; limits the memory
# Largest accepted longitude. It is 180 + 360, because on a map across the antimeridian, longitudes can continue above
# 180 instead of restarting at -180.
_MAX_LON = 540


@dataclass(frozen=True)
class Features:
    """Detections on images with their map positions.

    Attributes:
        images: Image ids, including images without detections.
        georeferences: Georeference per image, or None for an image without one.
        classes: Class names.
        image_index: (N,) int64, index into ``images`` per detection. The detections are sorted by this index.
        class_index: (N,) int64, index into ``classes`` per detection.
        scores: (N,) float64, descending within an image.
        polygons: (N, 4, 2) float64, corners in pixels.
    """

    images: tuple[str, ...]
    georeferences: tuple[Georeference | None, ...]
    classes: tuple[str, ...]
    image_index: NDArray[np.int64]
    class_index: NDArray[np.int64]
    scores: NDArray[np.float64]
    polygons: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def from_task1(
        cls, detections: Mapping[str, Detections], georeferences: Mapping[str, Georeference | None]
    ) -> Features:
        """Build features from Task1 detections.

        Args:
            detections: Detections by class name.
            georeferences: Georeference by image id, in the order of the output. If an image has detections but no entry
                here, it comes after all others, without a georeference.

        Example:
            >>> ships = Detections.from_ids(["P1"], np.array([0.5]), np.array([[1, 2, 11, 2, 11, 8, 1, 8]]))
            >>> features = Features.from_task1({"ship": ships}, {"P0": None})
            >>> features.images, features.image_index.tolist(), features.polygons[0, 2].tolist()
            (('P0', 'P1'), [1], [11.0, 8.0])
        """
        per_class = list(detections.values())
        images_with_detections = (name for class_detections in per_class for name in class_detections.images)
        images = tuple(dict.fromkeys([*georeferences, *images_with_detections]))
        index_of_image = {name: index for index, name in enumerate(images)}
        image_indices, class_indices = [], []
        for class_index, class_detections in enumerate(per_class):
            # Indices into class_detections.images are converted to indices into ``images``.
            output_indices = np.array([index_of_image[name] for name in class_detections.images], int)
            image_indices.append(output_indices[class_detections.image_index])
            class_indices.append(np.full(len(class_detections), class_index))
        return cls.from_columns(
            images,
            [georeferences.get(name) for name in images],
            list(detections),
            _concatenate(image_indices, np.int64),
            _concatenate(class_indices, np.int64),
            _concatenate([class_detections.scores for class_detections in per_class], np.float64),
            _concatenate([class_detections.polygons for class_detections in per_class], np.float64),
        )

    @classmethod
    def from_columns(
        cls,
        images: Sequence[str],
        georeferences: Sequence[Georeference | None],
        classes: Sequence[str],
        image_index: NDArray[np.int64],
        class_index: NDArray[np.int64],
        scores: NDArray[np.float64],
        polygons: NDArray[np.float64],
    ) -> Features:
        """Build features from columns in any order, and sort them by image and descending score.

        The arguments are the attributes of the class, except that polygons are (N, 8). Equal scores are ordered by
        class, then by their order in the input.

        Example:
            >>> columns = np.array([1, 0]), np.array([0, 0]), np.array([0.5, 0.7]), np.zeros((2, 8))
            >>> Features.from_columns(["P1", "P2"], [None, None], ["ship"], *columns).scores.tolist()
            [0.7, 0.5]
        """
        order = np.lexsort((class_index, -scores, image_index))  # the last key is the primary one
        return cls(
            tuple(images), tuple(georeferences), tuple(classes), image_index[order], class_index[order], scores[order],
            polygons.reshape(-1, 4, 2)[order],
        )  # fmt: skip


@dataclass(frozen=True)
class FeatureTable:
    """Features with coordinates in a single CRS.

    Attributes:
        name: Name of the CRS, such as ``epsg_32650``, for the names of layers and files. No other table of a result has
            the same name.
        coordinates: :data:`PIXELS`, :data:`MAP` or :data:`KNOWN_CRS`.
        crs: CRS of the coordinates; None if they are pixels or their CRS is unknown.
        columns: (N,) values by name: class, score, image, center_x, center_y, length_m, width_m, heading_deg. Unknown
            lengths, widths and headings are NaN.
        rings: (N, 5, 2) corners in coordinates of the CRS; the last point repeats the first. All rings have a positive
            signed area, as map formats require. They are therefore counterclockwise if y points up, but clockwise in
            pixels, where y points down.
    """

    name: str
    coordinates: str
    crs: str | None
    columns: dict[str, NDArray]
    rings: NDArray[np.float64]

    def iter_chunks(self) -> Iterator[FeatureTable]:
        """Yield the table in chunks of at most 50,000 rows; an empty table is one chunk.

        Writers convert one chunk at a time to the format of the file, which limits their memory.
        """
        for start in range(0, max(1, len(self.rings)), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            columns = {name: values[rows] for name, values in self.columns.items()}
            yield replace(self, columns=columns, rings=self.rings[rows])

    @property
    def is_finite(self) -> NDArray[np.bool_]:
        """(N,) whether all coordinates of a ring are finite. Coordinates outside the area of the CRS are infinite."""
        return np.asarray(np.isfinite(self.rings).all(axis=(1, 2)))

    @property
    def description(self) -> str:
        """Description of the coordinates in words."""
        if self.coordinates == PIXELS:
            return "pixels of the image, x to the right, y down"
        return "map coordinates of an unknown CRS" if self.crs is None else crs_name(self.crs)


def build_tables(features: Features, *, lon_lat: bool = False) -> list[FeatureTable]:
    """Build one table per CRS of the images.

    Args:
        features: The detections.
        lon_lat: Convert the coordinates of every known CRS to WGS 84 longitude and latitude.

    Returns:
        Tables in the order in which the images first use their CRSs. Without images, the result is one empty table in
        pixels. A polygon across the antimeridian has longitudes above 180.

    Raises:
        UserError: A CRS is malformed, or pyproj is not installed.

    Example:
        >>> ships = Detections.from_ids(["P1"], np.array([0.5]), np.array([[0, 0, 40, 0, 40, 10, 0, 10]]))
        >>> utm = Georeference((0.5, 0, 500000, 0, -0.5, 0), "EPSG:32650")
        >>> (table,) = build_tables(Features.from_task1({"ship": ships}, {"P1": utm}))
        >>> table.name, table.rings[0].astype(int).tolist()
        ('epsg_32650', [[500000, 0], [500000, -5], [500020, -5], [500020, 0], [500000, 0]])
    """
    groups: dict[tuple[str, str | None], list[int]] = {}  # (kind of coordinates, CRS) -> indices of images
    for index, georeference in enumerate(features.georeferences):
        groups.setdefault(_choose_coordinates(georeference, lon_lat), []).append(index)
    groups = groups or {(PIXELS, None): []}
    names = _name_tables(list(groups))
    return [
        _build_table(features, image_indices, coordinates, crs, name)
        for name, ((coordinates, crs), image_indices) in zip(names, groups.items())
    ]


def _name_tables(groups: Sequence[tuple[str, str | None]]) -> list[str]:
    """Return a unique lowercase name for each group of images. A group is a pair of kind of coordinates and CRS."""
    names: list[str] = []
    for coordinates, crs in groups:
        text = coordinates if crs is None else crs_name(crs)
        base = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
        base = base or MAP  # the name of a CRS may have no Latin letters or digits
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    return names


def lon_lat_rings(polygons: NDArray[np.float64], georeference: Georeference) -> NDArray[np.float64]:
    """Convert polygons in pixels to rings in WGS 84 longitude and latitude.

    Args:
        polygons: (N, 4, 2) corners in pixels.
        georeference: Georeference of the image, in a CRS that can be converted to longitude and latitude.

    Returns:
        (N, 5, 2) closed rings in degrees, with the same direction as in :class:`FeatureTable`.

    Example:
        >>> utm = Georeference((0.5, 0, 500000, 0, -0.5, 0), "EPSG:32650")
        >>> lon_lat_rings(np.array([[[0, 0], [40, 0], [40, 10], [0, 10.0]]]), utm)[0, 0].tolist()
        [117.0, 0.0]
    """
    return _close_rings(_to_table_coordinates(polygons, georeference, LON_LAT))


def _choose_coordinates(georeference: Georeference | None, lon_lat: bool) -> tuple[str, str | None]:
    """Return the kind of coordinates and the CRS in which the features of an image are written."""
    if georeference is None:
        return PIXELS, None
    if georeference.crs is None or not is_on_earth(georeference.crs):
        # With lon_lat, all images with an unknown or local CRS share a table.
        map_crs = None if lon_lat else georeference.crs
        return MAP, map_crs
    if lon_lat:
        return KNOWN_CRS, LON_LAT
    # AUTHORITY:CODE is preferred, because images then share a table even if their CRS strings are different WKT.
    return KNOWN_CRS, authority_code(georeference.crs) or georeference.crs


def _build_table(
    features: Features, image_indices: list[int], coordinates: str, crs: str | None, name: str
) -> FeatureTable:
    """Build the table of the features on the images ``image_indices``."""
    # Features are sorted by image_index, so the features of an image are the rows from start to stop.
    starts, stops = (np.searchsorted(features.image_index, image_indices, side) for side in ("left", "right"))
    rows = _concatenate([np.arange(start, stop) for start, stop in zip(starts, stops)], np.int64)
    corners, centers, measures = [], [], []
    for image_index, start, stop in zip(image_indices, starts, stops):
        polygons = features.polygons[start:stop]
        georeference = features.georeferences[image_index]
        corners_and_center = np.concatenate([polygons, polygons.mean(1, keepdims=True)], axis=1)  # (n, 5, 2)
        points = _to_table_coordinates(corners_and_center, georeference, crs)
        corners.append(points[:, :4])
        centers.append(points[:, 4])
        measures.append(np.stack(measure_quadrilaterals(polygons, georeference), axis=1))
    length, width, heading = _concatenate(measures, np.float64).reshape(-1, 3).round(VALUE_DECIMALS).T
    center_x, center_y = _concatenate(centers, np.float64).reshape(-1, 2).T
    if crs == LON_LAT:
        # The corners of a polygon across the antimeridian have longitudes above 180, but a center needs no such values.
        center_x = np.where(center_x > 180, center_x - 360, center_x)
    columns = {
        "class": np.array(features.classes, object)[features.class_index[rows]],
        "score": features.scores[rows],
        "image": np.array(features.images, object)[features.image_index[rows]],
        "center_x": center_x,
        "center_y": center_y,
        "length_m": length,
        "width_m": width,
        "heading_deg": heading % 180,  # a rounded heading can be 180
    }
    return FeatureTable(
        name, coordinates, crs, columns, _close_rings(_concatenate(corners, np.float64).reshape(-1, 4, 2))
    )


def _to_table_coordinates(
    pixels: NDArray[np.float64], georeference: Georeference | None, crs: str | None
) -> NDArray[np.float64]:
    """Convert points in pixels, (n, k, 2) for n polygons, to the coordinates of a table with the given CRS."""
    if georeference is None:
        return pixels
    points = georeference.to_map(pixels)
    if crs != LON_LAT or georeference.crs is None or not is_on_earth(georeference.crs):
        return points  # the table has the CRS of the image
    degrees = transform_points(points, georeference.crs, LON_LAT)
    lon, lat = degrees[..., 0], degrees[..., 1]  # these are views: the changes of lon below also change degrees
    with np.errstate(invalid="ignore"):  # coordinates outside the area of the CRS are infinite
        # Longitudes are shifted by 360 degrees, so that each polygon is continuous and lies above -180 degrees.
        lon += np.where(lon.min(axis=1, keepdims=True) < -180, 360, 0)
        is_across_antimeridian = np.ptp(lon, axis=1, keepdims=True) > 180
        lon += np.where(is_across_antimeridian & (lon < 0), 360, 0)
        # This check is necessary, because PROJ does not check coordinates that are already in degrees.
        outside = (lon < -180) | (lon > _MAX_LON) | (np.abs(lat) > 90)
    degrees[outside.any(axis=1)] = np.inf
    return degrees.round(LON_LAT_DECIMALS)


def _close_rings(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Close polygons (N, 4, 2) to rings (N, 5, 2) of positive signed area, without changing the first corner."""
    with np.errstate(invalid="ignore"):  # coordinates outside the area of the CRS are infinite
        # The cross product of the diagonals is twice the signed area.
        diagonal, other_diagonal = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
        is_clockwise = diagonal[:, 0] * other_diagonal[:, 1] - diagonal[:, 1] * other_diagonal[:, 0] < 0
    corners = np.where(is_clockwise[:, None, None], corners[:, [0, 3, 2, 1]], corners)
    return np.concatenate([corners, corners[:, :1]], axis=1)


def _concatenate(arrays: Sequence[NDArray], dtype: type) -> NDArray:
    """Concatenate arrays; return an empty array if there are none."""
    return np.concatenate(arrays).astype(dtype) if arrays else np.empty(0, dtype)
