"""Pascal VOC XML, roLabelImg's ``robndbox`` with an angle, SSDD's ``rotated_bndbox``, and the XML of HRSC2016."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from rotated_atss.dota.labels import TRUNCATED
from rotated_atss.errors import UserError
from rotated_atss.io.files import write_bytes
from rotated_atss.label_formats.geometry import (
    HORIZONTAL_BOX_NOTE,
    boxes_to_polygons,
    horizontal_polygon,
    polygons_to_boxes,
)
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions
from rotated_atss.label_formats.xml_file import XmlElement, read_xml, to_image_size, xml_tag

# Class names of HRSC2016 as mmrotate spells them. Some contain characters such as "(_|.--" that picture the ship.
HRSC_CLASSES = {
    "01": "ship", "02": "aircraft carrier", "03": "warcraft", "04": "merchant ship", "05": "Nimitz",
    "06": "Enterprise", "07": "Arleigh Burke", "08": "WhidbeyIsland", "09": "Perry", "10": "Sanantonio",
    "11": "Ticonderoga", "12": "Kitty Hawk", "13": "Kuznetsov", "14": "Abukuma", "15": "Austen", "16": "Tarawa",
    "17": "Blue Ridge", "18": "Container", "19": "OXo|--)", "20": "Car carrier([]==[])", "22": "Hovercraft",
    "24": "yacht", "25": "CntShip(_|.--.--|_]=", "26": "Cruise", "27": "submarine", "28": "lute", "29": "Medical",
    "30": "Car carrier(======|", "31": "Ford-class", "32": "Midway-class", "33": "Invincible-class",
}  # fmt: skip
"""Class names of HRSC2016 by the last two digits of ``Class_ID``."""


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read XML files of Pascal VOC, roLabelImg, SSDD or HRSC2016, one per image.

    HRSC2016 files have oriented boxes in their own elements, ``mbox_cx`` to ``mbox_ang``. In files of the other
    formats, an object can have several box elements. The one that is listed first here is read:

    - ``robndbox``: an oriented box, with its angle in radians, clockwise.
    - ``rotated_bndbox`` of SSDD: read from the corners ``x1`` to ``y4``; the angle is not used.
    - ``bndbox``: a horizontal box.

    The image id is the name of the XML file without suffix.

    Raises:
        UserError: A file is not well formed, or an element is missing or not a number.

    Example:
        >>> import tempfile
        >>> text = '''<annotation><filename>P1.png</filename><object><name>ship</name><robndbox>
        ...     <cx>6</cx><cy>5</cy><w>10</w><h>6</h><angle>0</angle></robndbox></object></annotation>'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.xml").write_text(text)
        ...     read([Path(folder, "P1.xml")], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [_read_file(path, options) for path in paths]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write one XML file per image as roLabelImg does: ``robndbox`` with its angle in radians, clockwise.

    Args:
        images: The images.
        classes: Unused; the files contain no list of class names.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> image_without_objects = ObjectList().build("P1.png", Path("P1.txt"), size=(20, 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([image_without_objects], [], Path(folder))
        ...     read([Path(folder, "P1.xml")], ReadOptions())[0].size
        (20, 10)
    """
    for image in images:
        boxes = np.round(polygons_to_boxes(image.polygons).boxes, 9) + 0.0  # + 0.0 turns -0.0 into 0.0
        shapes = [
            "<robndbox>" + "".join(map(xml_tag, ("cx", "cy", "w", "h", "angle"), box)) + "</robndbox>"
            for box in boxes.tolist()
        ]
        write_bytes(folder / f"{image.image_id}.xml", format_annotation(image, shapes))


def image_file_name(root: XmlElement, path: Path) -> str:
    """Return the file name of the image: the name of the XML file with the suffix of the image instead of ``.xml``.

    VOC files state the suffix in ``filename``, HRSC2016 files in ``Img_FileName`` or ``Img_FileFmt``. If none of these
    elements exists, the result has no suffix.

    Example:
        >>> image_file_name(XmlElement("annotation", {}, Path("P1.xml"), 1), Path("P1.xml"))
        'P1'
    """
    stated_name = root.child_text("filename", default=root.child_text("Img_FileName"))
    suffix = PurePosixPath(stated_name.replace("\\", "/")).suffix or root.child_text("Img_FileFmt")
    return f"{path.stem}.{suffix.lstrip('.')}" if suffix else path.stem


def format_annotation(image: ImageLabels, shapes: Sequence[str]) -> bytes:
    """Format the objects of an image as the content of a VOC file.

    Args:
        image: The image and its objects.
        shapes: The ``robndbox`` element of each object, as XML text.

    Example:
        >>> image_without_objects = ObjectList().build("P1.png", Path("P1.txt"), size=(20, 10))
        >>> format_annotation(image_without_objects, []).decode().splitlines()[1]
        '  <filename>P1.png</filename>'
    """
    lines = ["<annotation>", f"  {xml_tag('filename', image.name)}"]
    if image.size:
        width, height = image.size
        lines.append(f"  <size>{xml_tag('width', width)}{xml_tag('height', height)}{xml_tag('depth', 3)}</size>")
    for name, flag, shape in zip(image.classes, image.difficult.tolist(), shapes):
        lines += [
            "  <object>",
            f"    {xml_tag('type', 'robndbox')}",
            f"    {xml_tag('name', name)}",
            f"    {xml_tag('truncated', int(flag == TRUNCATED))}",
            f"    {xml_tag('difficult', int(flag > 0))}",  # truncated objects (flag 2) are also difficult
            f"    {shape}",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""]).encode()


def _read_file(path: Path, options: ReadOptions) -> ImageLabels:
    root = read_xml(path)
    if root.tag == "HRSC_Image":
        return _read_hrsc(root, path)
    objects = ObjectList()
    for element in root.find_all("object"):
        polygon = _polygon(element, options)
        objects.add(
            polygon, element.child_text("name"), where=element.where, difficult=element.flag("difficult"),
            line=element.line,
        )  # fmt: skip
    return objects.build(image_file_name(root, path), path, root.size())


def _polygon(element: XmlElement, options: ReadOptions) -> list[float]:
    """Return the corners of an object in pixels. The first box element that the object has is read."""
    rotated = element.find("robndbox")
    if rotated is not None:
        return _box_polygon([rotated.number(tag) for tag in ("cx", "cy", "w", "h", "angle")])
    rotated = element.find("rotated_bndbox")
    if rotated is not None:
        return [rotated.number(f"{axis}{corner}") for corner in range(1, 5) for axis in "xy"]
    horizontal = element.find("bndbox")
    if horizontal is None:
        raise UserError("<object> has no <robndbox>, <rotated_bndbox> or <bndbox>", where=element.where)
    options.notes[HORIZONTAL_BOX_NOTE] += 1
    return horizontal_polygon(*(horizontal.number(tag) for tag in ("xmin", "ymin", "xmax", "ymax")))


def _read_hrsc(root: XmlElement, path: Path) -> ImageLabels:
    objects = ObjectList()
    container = root.find("HRSC_Objects")
    elements = [] if container is None else container.find_all("HRSC_Object")
    for element in elements:
        polygon = _box_polygon([element.number(f"mbox_{key}") for key in ("cx", "cy", "w", "h", "ang")])
        class_id = element.child_text("Class_ID")
        name = HRSC_CLASSES.get(class_id[-2:], f"HRSC-{class_id}")
        objects.add(polygon, name, where=element.where, difficult=element.flag("difficult"), line=element.line)
    size = None
    if root.find("Img_SizeWidth") is not None:
        size = to_image_size(root.number("Img_SizeWidth"), root.number("Img_SizeHeight"), root.where)
    return objects.build(image_file_name(root, path), path, size)


def _box_polygon(box: Sequence[float]) -> list[float]:
    """Return the corners of a box ``cx, cy, w, h, angle``, pixels and radians, clockwise on the image."""
    return boxes_to_polygons(np.array([box]))[0].tolist()
