"""GeoJSON: one FeatureCollection of polygons per image, in pixels; or one file in map coordinates for many images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.coco.json_file import is_finite_number, read_json
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import write_json
from rotated_atss.label_formats import vector
from rotated_atss.label_formats.geometry import quadrilateral
from rotated_atss.label_formats.json_values import check_score, parse_size
from rotated_atss.label_formats.records import CLASS_KEYS, ImageLabels, ObjectList, ReadOptions

LON_LAT_NOTE = ("GeoJSON file", " in longitude and latitude: placed by the georeference of the images")
"""Key of a note, see :func:`rotated_atss.label_formats.records.format_notes`.

Unlike other notes, this note does not report that something was dropped or changed.
"""
_MAP_HINT = "use georeferenced images (--images), or convert the coordinates to pixels, x to the right and y down"


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read files with one polygon per feature, in pixels of the image or in map coordinates.

    The class is the property ``class``, or another of :data:`CLASS_KEYS`; ``difficult`` and ``score`` are optional
    properties. The collection can have the members ``image`` and ``size``, the file name and the size of the image.
    :func:`write` writes them.

    The first of these rules that applies decides whether the coordinates of a file are pixels or map coordinates:

    1. A file with ``"coordinates": "pixels"`` or a ``size`` is in pixels.
    2. A file with a ``crs`` is in map coordinates.
    3. If the corners of the polygons can be longitudes and latitudes, and one of them lies in a georeferenced image,
       the file is in map coordinates.
    4. Any other file is in pixels.

    Files in map coordinates are read by :mod:`rotated_atss.label_formats.vector`.

    Raises:
        UserError: A file is not a FeatureCollection of polygons, a file has a CRS but no images are given, all y
            coordinates of a file are negative, or a polygon does not have four corners.

    Example:
        >>> import tempfile
        >>> text = '''{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"class": "ship"},
        ...     "geometry": {"type": "Polygon", "coordinates": [[[1, 2], [11, 2], [11, 8], [1, 8], [1, 2]]]}}]}'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.geojson").write_text(text)
        ...     read([Path(folder, "P1.geojson")], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    contents = {path: _read_collection(path) for path in paths}
    map_paths = [path for path, content in contents.items() if _has_map_coordinates(content, options, path)]
    records = [_read_pixels(path, content, options) for path, content in contents.items() if path not in map_paths]
    if not map_paths:
        return records
    return records + vector.read(map_paths, options)


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write one ``<image>.geojson`` per image, in longitude and latitude if the image is georeferenced, else in pixels.

    Args:
        images: The images.
        classes: Unused; the files contain no list of class names.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> image_without_objects = ObjectList().build("P1.png", Path("P1.txt"), size=(20, 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([image_without_objects], [], Path(folder))
        ...     read([Path(folder, "P1.geojson")], ReadOptions())[0].size
        (20, 10)
    """
    for image in images:
        content: dict[str, Any] = {"type": "FeatureCollection", "image": image.name}
        if image.georeference is None:
            content |= {"size": image.size, "coordinates": "pixels"}
        geometries = _geometries(image)
        content["features"] = [_feature(image, row, geometry) for row, geometry in enumerate(geometries)]
        write_json(folder / f"{image.image_id}.geojson", content)


def _geometries(image: ImageLabels) -> list[dict[str, Any]]:
    """Return the GeoJSON geometry of each object of an image."""
    corners = image.polygons.reshape(-1, 4, 2)
    if image.georeference is None:
        return [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in corners.tolist()]
    # imported here, because only georeferenced images need them
    from rotated_atss.geo.features import lon_lat_rings
    from rotated_atss.geo.text_files import lon_lat_geometry

    return [lon_lat_geometry(ring) for ring in lon_lat_rings(corners, image.georeference)]


def _feature(image: ImageLabels, row: int, geometry: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {"class": image.classes[row], "difficult": int(image.difficult[row])}
    if image.scores is not None:
        properties["score"] = float(image.scores[row])
    if image.georeference is not None:
        properties["image"] = image.image_id
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _read_collection(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("features"), list):
        raise UserError("not a FeatureCollection of GeoJSON", where=path, hint="expected a list 'features'")
    return content


def _has_map_coordinates(content: dict[str, Any], options: ReadOptions, path: Path) -> bool:
    """Return whether a file is in map coordinates, by the rules of :func:`read`.

    The notes count the files without a CRS whose coordinates are taken as longitude and latitude.
    """
    if content.get("coordinates") == "pixels" or "size" in content:
        return False
    if content.get("crs"):
        if options.images is None:
            raise UserError(
                "coordinates must be in pixels, got a coordinate reference system", where=path, hint=_MAP_HINT
            )
        return True
    if options.images is None:  # without images, no georeference could place map coordinates
        return False
    points = np.array(list(_first_corners(content["features"]))).reshape(-1, 2)
    if not len(points) or (np.abs(points) > (180, 90)).any():  # not degrees of longitude and latitude
        return False
    if not vector.touches_an_image(points, options.images):
        return False
    options.notes[LON_LAT_NOTE] += 1
    return True


def _first_corners(features: Sequence[Any]) -> Iterator[list[float]]:
    """Yield the first corner of each polygon and of each part of a multipolygon."""
    for feature in features:
        with suppress(TypeError, KeyError, IndexError):  # malformed features are reported when they are read
            kind, coordinates = feature["geometry"]["type"], feature["geometry"]["coordinates"]
            polygons_by_kind = {"Polygon": [coordinates], "MultiPolygon": coordinates}
            for polygon in polygons_by_kind.get(kind, []):
                outer_ring = polygon[0]
                point = outer_ring[0]
                if len(point) > 1 and all(map(is_finite_number, point[:2])):
                    yield point[:2]


def _read_pixels(path: Path, content: dict[str, Any], options: ReadOptions) -> ImageLabels:
    objects = ObjectList()
    negative_y_flags = []  # per feature, whether all of its y are negative
    for index, feature in enumerate(content["features"]):
        where = f"{path}: features[{index}]"
        ring = _ring(feature, where)
        negative_y_flags.append(all(y < 0 for _, y in ring))
        properties = feature.get("properties")
        if not isinstance(properties, dict):
            raise UserError(f"properties must be an object, got {quote(properties)}", where=where)
        score = check_score(properties.get("score"), where)
        polygon = quadrilateral(ring, options, where)
        flag = properties.get("difficult") or 0
        objects.add(polygon, _class_name(properties), where=where, difficult=flag, score=score)
    # If all y of a file are negative, its y axis points up, as in a GIS, not down, as in an image.
    if negative_y_flags and all(negative_y_flags):
        raise UserError("coordinates must be in pixels, got only negative y", where=path, hint=_MAP_HINT)
    image_name, width_height = content.get("image"), content.get("size")
    if not isinstance(image_name, str):
        image_name = path.stem
    size = parse_size(*width_height) if isinstance(width_height, list) and len(width_height) == 2 else None
    return objects.build(image_name, path, size)


def _ring(feature: Any, where: str) -> list[list[float]]:
    """Return the corners ``x, y`` of a feature's polygon. A last corner that repeats the first one is left out."""
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or kind != "Polygon":
        raise UserError(f"the geometry must be a Polygon, got {quote(kind)}", where=where)
    rings = geometry.get("coordinates")
    if not isinstance(rings, list) or len(rings) != 1 or not isinstance(rings[0], list):
        raise UserError("a Polygon must have one ring and no holes", where=where)
    for point in rings[0]:
        if not isinstance(point, list) or len(point) < 2 or not all(map(is_finite_number, point[:2])):
            raise UserError(f"a point must be x, y, got {quote(point)}", where=where)
    points = [point[:2] for point in rings[0]]
    return points[:-1] if len(points) > 3 and points[0] == points[-1] else points


def _class_name(properties: dict) -> Any:
    for key in CLASS_KEYS:
        value = properties.get(key)
        if isinstance(value, dict):  # QuPath writes "classification": {"name": ...}
            value = value.get("name")
        if value is not None:
            return value
    return None
