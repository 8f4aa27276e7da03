"""Labels in map coordinates: polygons of vector files, placed on georeferenced images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.dota.labels import TRUNCATED
from rotated_atss.errors import UserError, quote
from rotated_atss.geo.crs import LON_LAT, crs_name, is_on_earth, transform_points
from rotated_atss.geo.polygon_files import read_polygon_layers
from rotated_atss.geo.polygon_layer import PolygonLayer
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.image_reader import find_georeference
from rotated_atss.label_formats.geometry import quadrilateral
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.records import CLASS_KEYS, ImageLabels, ObjectList, ReadOptions, image_id_of

_DECIMALS = 6  # Pixel coordinates are rounded to 1e-6 px. Conversion from map coordinates is exact to 1e-8 px.
# A corner outside an image counts as inside if it is at most this far from the border, because files store rounded
# coordinates.
_TOLERANCE_PX = 0.01
_IMAGES_HINT = "give the folder of georeferenced images with --images"


@dataclass(frozen=True)
class PlacedImage:
    """An image whose georeference has a CRS on the earth.

    Attributes:
        path: Image file.
        size: Width and height in pixels.
        georeference: Georeference of the image.
    """

    path: Path
    size: tuple[int, int]
    georeference: Georeference

    @property
    def crs(self) -> str:
        """The CRS of the image."""
        return str(self.georeference.crs)


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read polygons in map coordinates.

    A polygon becomes an object of every image that contains a part of the polygon's area. However, if the column
    ``image`` contains the id of one of the images, the polygon can become an object of that image only. Polygons are
    converted to the CRS of each image, then to pixels, rounded to 1e-6 px. An object that is cut by the border of an
    image keeps its corners outside the image. Its difficult flag is 2, as for an object that is cut by the border of a
    tile, unless the file has a number for it in the column ``difficult``.

    Args:
        paths: Vector files, as for :func:`rotated_atss.geo.polygon_files.read_polygon_layers`.
        options: ``images`` is needed; ``class_column`` and ``class_name`` give the classes.

    Returns:
        One record per georeferenced image, also for images without objects.

    Raises:
        UserError: A file cannot be read, no image is georeferenced, a polygon has no class, or it does not have four
            corners.

    Example::

        read([Path("roofs.gpkg")], ReadOptions(images=ImageFiles("images"), class_name="roof"))
    """
    images = find_placed_images(options.images, paths[0])
    assert options.images is not None  # find_placed_images raises an error for None
    num_without_crs = len(options.images.paths) - len(images)
    if num_without_crs:
        options.notes["image", " without georeference or CRS: no labels"] += num_without_crs
    objects = {image.path: ObjectList() for image in images}
    for path in paths:
        for layer in read_polygon_layers(path):
            options.notes.update(layer.notes)
            _add_layer(layer, images, objects, options)
    # An image can have objects from several files, but a record has only one source: the first file.
    return [objects[image.path].build(image.path.name, paths[0], image.size) for image in images]


def find_placed_images(images: ImageFiles | None, label_path: Path) -> list[PlacedImage]:
    """Return the images of a folder that have a georeference with a CRS on the earth.

    Images whose CRS is unknown or local, such as the grid of a building site, are left out.

    Args:
        images: The images; None raises an error.
        label_path: The label file, for errors.

    Raises:
        UserError: ``images`` is None, or no image has a georeference with a CRS on the earth.
    """
    if images is None:
        raise UserError("the labels are in map coordinates", where=label_path, hint=_IMAGES_HINT)
    placed = list(_iter_placed_images(images))
    if not placed:
        what = "the labels are in map coordinates, but no image has a georeference and a CRS"
        hint = f"georeference the images in {images.folder}, for example by world files"
        raise UserError(what, where=label_path, hint=hint)
    return placed


def _iter_placed_images(images: ImageFiles) -> Iterator[PlacedImage]:
    for image_id, path in images.paths.items():
        try:
            georeference = find_georeference(path)
            size = images.size(image_id)
        except UserError:
            if images.skip_unreadable:
                continue
            raise
        if georeference is not None and size is not None and is_on_earth(georeference.crs):
            yield PlacedImage(path, size, georeference)


def touches_an_image(points: NDArray[np.float64], images: ImageFiles) -> bool:
    """Return whether any of the points lies in any of the images.

    Args:
        points: (N, 2) longitude and latitude, degrees.
        images: The images. Those without georeference are skipped.

    Example:
        >>> touches_an_image(np.zeros((0, 2)), ImageFiles("images", paths={}))
        False
    """
    if not len(points):
        return False
    for image in _iter_placed_images(images):
        pixels = image.georeference.to_pixels(transform_points(points, LON_LAT, image.crs))
        if ((pixels >= 0) & (pixels <= image.size)).all(axis=1).any():
            return True
    return False


def _add_layer(
    layer: PolygonLayer, images: Sequence[PlacedImage], objects: dict[Path, ObjectList], options: ReadOptions
) -> None:
    """Add each polygon of a layer to the objects of all images that contain a part of it."""
    class_names = _class_names(layer, options)
    image_ids = _assigned_image_ids(layer, images)
    in_no_image = np.ones(len(layer.rings), bool)
    # The points of all rings are in one array (P, 2), so that one call per CRS transforms them.
    points = np.concatenate([np.empty((0, 2)), *layer.rings])
    ends = np.cumsum([len(ring) for ring in layer.rings])
    for crs in dict.fromkeys(image.crs for image in images):
        rings = np.split(transform_points(points, layer.crs, crs), ends[:-1]) if len(ends) else []
        lower = np.array([ring.min(axis=0) for ring in rings]).reshape(-1, 2)
        upper = np.array([ring.max(axis=0) for ring in rings]).reshape(-1, 2)
        for image in (image for image in images if image.crs == crs):
            is_allowed = (image_ids == None) | (image_ids == image.path.stem)  # noqa: E711 - element by element
            # With a lower bound of infinity, a polygon that the column "image" assigns to another image is skipped.
            allowed_lower = np.where(is_allowed[:, None], lower, np.inf)
            for row in _find_polygons_in_image(image, rings, allowed_lower, upper):
                in_no_image[row] = False
                where = f"{layer.path}: feature {layer.feature_ids[row]}"
                corners = image.georeference.to_pixels(rings[row]).round(_DECIMALS)
                polygon = quadrilateral(corners.tolist(), options, where)
                flag_and_score = _flag_and_score(layer, row)
                if "difficult" not in flag_and_score and _is_cut(corners, image.size):
                    flag_and_score["difficult"] = TRUNCATED
                    options.notes["object", " cut by the border of an image: difficult 2, as in tiles"] += 1
                objects[image.path].add(polygon, class_names[row], where=where, **flag_and_score)
    if in_no_image.any():
        options.notes["polygon", " in no image: left out"] += int(in_no_image.sum())
    if len(in_no_image) and in_no_image.all():
        options.notes["layer", f" without a polygon in any image: compare its CRS, {crs_name(layer.crs)}"] += 1


def _is_cut(corners: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Return whether any of the corners (K, 2) lies outside an image, by more than the tolerance."""
    return bool((corners < -_TOLERANCE_PX).any() or (corners > np.array(size) + _TOLERANCE_PX).any())


def _find_polygons_in_image(
    image: PlacedImage, rings: Sequence[NDArray], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> Iterator[int]:
    """Yield the indices of the polygons that overlap an image.

    Args:
        image: The image.
        rings: Corners of each of the N polygons in the CRS of the image.
        lower: (N, 2) smallest coordinates of each polygon in the CRS of the image.
        upper: (N, 2) largest coordinates of each polygon in the CRS of the image.
    """
    import shapely  # takes 0.1 s to import

    width, height = image.size
    corners = image.georeference.to_map([[0, 0], [width, 0], [width, height], [0, height]])
    # only polygons whose bounds overlap those of the image are intersected with it
    may_overlap = ((lower < corners.max(axis=0)) & (upper > corners.min(axis=0))).all(axis=1)
    image_area = shapely.box(0, 0, width, height)
    for row in np.flatnonzero(may_overlap).tolist():
        polygon = shapely.Polygon(image.georeference.to_pixels(rings[row]))
        polygon = shapely.make_valid(polygon)  # shapely cannot intersect a polygon that crosses itself
        if shapely.intersection(polygon, image_area).area > 0:
            yield row


def _class_names(layer: PolygonLayer, options: ReadOptions) -> list[str]:
    """Return the class name of each polygon of a layer."""
    if options.class_name is not None:
        return [options.class_name] * len(layer.rings)
    # If the names of several columns differ only in case, the first column is read. Because the order is reversed, it
    # is stored last and replaces the others.
    column_by_folded_name = {name.casefold(): name for name in reversed(layer.columns)}
    candidates = CLASS_KEYS if options.class_column is None else (options.class_column,)
    folded_candidates = [key.casefold() for key in candidates]
    column = next((column_by_folded_name[key] for key in folded_candidates if key in column_by_folded_name), None)
    if column is None:
        what = "no column with the class" if options.class_column is None else f"no column {options.class_column}"
        columns = ", ".join(layer.columns) or "none"
        hint = f"give the column with --class-column, or one class for all with --class-name; columns: {columns}"
        raise UserError(what, where=layer.path, hint=hint)
    # QuPath's column "classification" contains dicts {"name": class name, ...}
    values = [value.get("name") if isinstance(value, dict) else value for value in layer.columns[column].tolist()]
    for value, feature in zip(values, layer.feature_ids):
        where = f"{layer.path}: feature {feature}"
        if value is None or value != value:  # NaN
            raise UserError(f"no class in column {column}", where=where, hint="give every polygon a class")
        if not isinstance(value, (str, int, float)):
            raise UserError(f"a class must be a string or a number, got {quote(value)} in column {column}", where=where)
    # Some formats store integers as float; class 3.0 is "3".
    integral = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return [str(value) for value in integral]


def _assigned_image_ids(layer: PolygonLayer, images: Sequence[PlacedImage]) -> NDArray[np.object_]:
    """Return the image id in the column ``image`` for each polygon; None if it is not the id of one of the images."""
    known_ids = {image.path.stem for image in images}
    values = layer.columns.get("image", np.full(len(layer.rings), None))
    ids = [image_id_of(value) if isinstance(value, str) else None for value in values.tolist()]
    return np.array([image_id if image_id in known_ids else None for image_id in ids], object)


def _flag_and_score(layer: PolygonLayer, row: int) -> dict[str, Any]:
    """Return the arguments ``difficult`` and ``score`` of an object, each only if the file has a number for it."""
    values: dict[str, Any] = {}
    for name in ("difficult", "score"):
        column = layer.columns.get(name)
        if column is None or column.dtype.kind not in "iufb":  # integers, floats and booleans
            continue
        if np.isfinite(column[row]):
            values[name] = float(column[row])
    if "difficult" in values and values["difficult"].is_integer():  # ObjectList.add rejects other values
        values["difficult"] = int(values["difficult"])
    return values
