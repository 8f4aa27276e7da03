"""Read and write labels in the format CVAT for images 1.1.

One XML file contains the shapes of all images: polygons, and boxes with a rotation in degrees, clockwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rotated_atss.dota._fields import parse_finite
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import write_bytes
from rotated_atss.label_formats.geometry import boxes_to_polygons, polygons_to_boxes, quadrilateral
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions
from rotated_atss.label_formats.xml_file import XmlElement, read_xml, to_image_size, xml_attributes, xml_tag

FILE = "annotations.xml"
# Shapes that are left out, with a note. Other tags inside an image are not shapes, and are skipped without a note.
_UNREAD_SHAPES = ("polyline", "points", "ellipse", "mask", "cuboid", "skeleton")


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read the shapes ``box`` and ``polygon`` of annotation files; other shapes are left out.

    If a shape has the attribute ``difficult``, its value is the difficult flag of the object.

    Raises:
        UserError: A file is not well-formed XML, or contains annotations of a video, or a polygon does not have four
            corners.

    Example:
        >>> import tempfile
        >>> text = '''<annotations><image id="0" name="P1.png" width="20" height="10">
        ...     <box label="ship" xtl="1" ytl="2" xbr="11" ybr="8" rotation="90"/></image></annotations>'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "annotations.xml").write_text(text)
        ...     read([Path(folder, "annotations.xml")], ReadOptions())[0].polygons.tolist()
        [[9.0, 0.0, 9.0, 10.0, 3.0, 10.0, 3.0, 0.0]]
    """
    return [_read_image(element, path, options) for path in paths for element in _image_elements(path)]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write ``annotations.xml``: rectangles as ``box``, other quadrilaterals as ``polygon``.

    Args:
        images: The images, with their sizes.
        classes: Class names, listed as labels of the task.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([ObjectList().build("P1.png", Path("P1.txt"), (20, 10))], ["ship"], Path(folder))
        ...     read([Path(folder, "annotations.xml")], ReadOptions())[0].size
        (20, 10)
    """
    difficult_attribute = (
        "<attributes><attribute><name>difficult</name><mutable>False</mutable><input_type>select</input_type>"
        "<default_value>0</default_value><values>0\n1\n2</values></attribute></attributes>"
    )
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>", "  <meta><task>"]
    lines.append("    <labels>")
    lines += [f"      <label>{xml_tag('name', name)}<type>any</type>{difficult_attribute}</label>" for name in classes]
    lines += ["    </labels>", "  </task></meta>"]
    for image_id, image in enumerate(images):
        assert image.size is not None
        attributes = xml_attributes(id=image_id, name=image.name, width=image.size[0], height=image.size[1])
        lines += [f"  <image{attributes}>", *_shape_lines(image), "  </image>"]
    write_bytes(folder / FILE, "\n".join([*lines, "</annotations>", ""]).encode())


def _image_elements(path: Path) -> list[XmlElement]:
    root = read_xml(path)
    if root.find("track") is not None:  # In a video, CVAT stores an object as a track through the frames.
        what = "the file contains annotations of a video"
        raise UserError(what, where=root.get("track").where, hint="export as 'CVAT for images 1.1'")
    return root.find_all("image")


def _read_image(element: XmlElement, path: Path, options: ReadOptions) -> ImageLabels:
    objects = ObjectList()
    for shape in element.children:
        if shape.tag in _UNREAD_SHAPES:
            options.notes["shape", f" of type {shape.tag}, neither box nor polygon: left out"] += 1
        if shape.tag not in ("box", "polygon"):
            continue
        polygon = _box_corners(shape) if shape.tag == "box" else _polygon_corners(shape, options)
        objects.add(
            polygon, shape.attribute("label"), where=shape.where, difficult=_difficult(shape), line=shape.line
        )  # fmt: skip
    width, height = element.attribute_number("width"), element.attribute_number("height")
    return objects.build(element.attribute("name"), path, to_image_size(width, height, element.where))


def _box_corners(shape: XmlElement) -> list[float]:
    """Return the corners of a box after its rotation about its center."""
    x1, y1, x2, y2 = (shape.attribute_number(name) for name in ("xtl", "ytl", "xbr", "ybr"))
    degrees = shape.attribute_number("rotation") if "rotation" in shape.attributes else 0.0
    box = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, math.radians(degrees)]
    return boxes_to_polygons(np.array([box]))[0].tolist()


def _polygon_corners(shape: XmlElement, options: ReadOptions) -> list[float]:
    text = shape.attribute("points")
    coordinate_texts = [point.split(",") for point in text.split(";") if point.strip()]  # x and y of each point
    if any(len(coordinates) != 2 for coordinates in coordinate_texts):
        raise UserError(f"points must be 'x,y;x,y;...', got {quote(text)}", where=shape.where)
    corners = [[parse_finite(value.strip(), shape.path, shape.line) for value in pair] for pair in coordinate_texts]
    return quadrilateral(corners, options, shape.where)


def _difficult(shape: XmlElement) -> int:
    """Return the value of a shape's child ``<attribute name="difficult">``, or 0 if the shape has no such child."""
    flags = {"0": 0, "1": 1, "2": 2, "false": 0, "true": 1, "": 0}
    for child in shape.find_all("attribute"):
        if child.attributes.get("name") == "difficult":
            text = child.text.strip().lower()
            if text not in flags:
                raise UserError(f"the attribute difficult must be 0, 1 or 2, got {quote(text)}", where=child.where)
            return flags[text]
    return 0


def _shape_lines(image: ImageLabels) -> list[str]:
    """Return the XML of each object, one line per object."""
    boxes = polygons_to_boxes(image.polygons).boxes
    # The second "% 360" is needed, because rounding can turn 359.99... into 360.
    degrees = np.round(np.degrees(boxes[:, 4]) % 360.0, 9) % 360.0
    # CVAT stores the corners that the box has before its rotation.
    low = np.round(boxes[:, :2] - boxes[:, 2:4] / 2, 9)
    high = np.round(boxes[:, :2] + boxes[:, 2:4] / 2, 9)
    # A quadrilateral is written as a box only if reading the box gives the same corners in the same order.
    is_rectangle = (np.abs(boxes_to_polygons(boxes) - image.polygons) <= 1e-6).all(axis=1)
    lines = []
    for row, name in enumerate(image.classes):
        if is_rectangle[row]:
            (x1, y1), (x2, y2) = low[row].tolist(), high[row].tolist()
            shape = {"xtl": x1, "ytl": y1, "xbr": x2, "ybr": y2, "rotation": degrees[row].item()}
            tag = "box"
        else:
            corners = image.polygons[row].tolist()
            shape = {"points": ";".join(f"{x},{y}" for x, y in zip(corners[0::2], corners[1::2]))}
            tag = "polygon"
        attributes = xml_attributes(label=name, source="file", occluded=0, **shape, z_order=0)
        flag = int(image.difficult[row])
        lines.append(f'    <{tag}{attributes}><attribute name="difficult">{flag}</attribute></{tag}>')
    return lines
