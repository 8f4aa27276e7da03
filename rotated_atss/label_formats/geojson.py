"""GeoJSON, one FeatureCollection of polygons per image, in pixels of the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rotated_atss.coco.json_file import is_finite_number, read_json
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import write_json
from rotated_atss.label_formats.geometry import quadrilateral
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions

CLASS_KEYS = ("class", "class_name", "label", "name", "category", "classification")
_MAP = "convert map coordinates to pixels first, x to the right and y down"


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read files with one polygon per feature, in pixels of the image.

    The class is the property ``class``, or another of :data:`CLASS_KEYS`; ``difficult`` and ``score`` are optional
    properties. The members ``image`` and ``size`` of the collection are those of :func:`write`.

    Raises:
        UserError: A file is not a FeatureCollection of polygons, states a coordinate reference system or has negative
            y throughout (map coordinates), or a polygon does not have four corners.

    Example:
        >>> import tempfile
        >>> text = '''{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"class": "ship"},
        ...     "geometry": {"type": "Polygon", "coordinates": [[[1, 2], [11, 2], [11, 8], [1, 8], [1, 2]]]}}]}'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.geojson").write_text(text)
        ...     read([Path(folder, "P1.geojson")], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [_read_file(path, options) for path in paths]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write one ``<image>.geojson`` per image.

    Args:
        images: The images.
        classes: Class names, which this format does not list.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([ObjectList().build("P1.png", Path("P1.txt"), (20, 10))], [], Path(folder))
        ...     read([Path(folder, "P1.geojson")], ReadOptions())[0].size
        (20, 10)
    """
    for image in images:
        content = {
            "type": "FeatureCollection", "image": image.name, "size": image.size, "coordinates": "pixels",
            "features": [_feature(image, row) for row in range(len(image))],
        }  # fmt: skip
        write_json(folder / f"{image.image_id}.geojson", content)


def _feature(image: ImageLabels, row: int) -> dict[str, Any]:
    corners = image.polygons[row].reshape(4, 2).tolist()
    properties: dict[str, Any] = {"class": image.classes[row], "difficult": int(image.difficult[row])}
    if image.scores is not None:
        properties["score"] = float(image.scores[row])
    geometry = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _read_file(path: Path, options: ReadOptions) -> ImageLabels:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("features"), list):
        raise UserError("not a FeatureCollection of GeoJSON", where=path, hint="expected a list 'features'")
    if content.get("crs"):
        raise UserError("coordinates must be pixels, got a coordinate reference system", where=path, hint=_MAP)
    objects = ObjectList()
    above = []  # per feature, whether it lies above the image
    for index, feature in enumerate(content["features"]):
        where = f"{path}: features[{index}]"
        ring = _ring(feature, where)
        above.append(all(y < 0 for _, y in ring))
        properties = feature.get("properties")
        if not isinstance(properties, dict):
            raise UserError(f"properties must be an object, got {quote(properties)}", where=where)
        score = properties.get("score")
        if score is not None and not is_finite_number(score):
            raise UserError(f"score must be a number, got {quote(score)}", where=where)
        polygon = quadrilateral(ring, options, where)
        flag = properties.get("difficult") or 0
        objects.add(polygon, _class_name(properties), where=where, difficult=flag, score=score)
    if above and all(above):
        raise UserError("coordinates must be pixels, got only negative y", where=path, hint=_MAP)
    name, size = content.get("image"), content.get("size")
    stated = isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)
    named = name if isinstance(name, str) else path.stem
    return objects.build(named, path, (size[0], size[1]) if isinstance(size, list) and stated else None)


def _ring(feature: Any, where: str) -> list[list[float]]:
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
    return [point[:2] for point in rings[0]]


def _class_name(properties: dict) -> Any:
    for key in CLASS_KEYS:
        value = properties.get(key)
        if isinstance(value, dict):  # QuPath's classification
            value = value.get("name")
        if value is not None:
            return value
    return None
