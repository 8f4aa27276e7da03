"""FAIR1M XML: ``objects/object`` with ``possibleresult/name`` and a closed ring of points in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rotated_atss.dota._fields import parse_finite
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import write_bytes
from rotated_atss.label_formats.geometry import quadrilateral
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions
from rotated_atss.label_formats.xml_file import XmlElement, read_xml, xml_tag


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read XML files, one per image: labels, or detections with a ``probability`` per object.

    Raises:
        UserError: A file is not well formed, an element is missing, coordinates are not in pixels, or a polygon does
            not have four corners.

    Example:
        >>> import tempfile
        >>> points = "".join(f"<point>{point}</point>" for point in ("1,2", "11,2", "11,8", "1,8", "1,2"))
        >>> text = f'''<annotation><objects><object><possibleresult><name>Small Car</name></possibleresult>
        ...     <points>{points}</points></object></objects></annotation>'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "1.xml").write_text(text)
        ...     read([Path(folder, "1.xml")], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [_read_file(path, options) for path in paths]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write one XML file per image, named after its image id, with the scores of detections as ``probability``.

    Args:
        images: The images.
        classes: Unused; the files contain no list of class names.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> image_without_objects = ObjectList().build("1.tif", Path("1.txt"), size=(20, 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([image_without_objects], [], Path(folder))
        ...     read([Path(folder, "1.xml")], ReadOptions())[0].size
        (20, 10)
    """
    for image in images:
        write_bytes(folder / f"{image.image_id}.xml", _format_file(image))


def _read_file(path: Path, options: ReadOptions) -> ImageLabels:
    root = read_xml(path)
    objects = ObjectList()
    container = root.find("objects")
    elements = [] if container is None else container.find_all("object")
    for element in elements:
        unit = element.child_text("coordinate", default="pixel")
        if unit != "pixel":
            raise UserError(f"coordinates must be in pixels, got {quote(unit)}", where=element.where)
        points = [_point(point) for point in element.get("points").find_all("point")]
        result = element.get("possibleresult")
        objects.add(
            quadrilateral(points, options, element.where),  # drops the last point, which repeats the first one
            result.child_text("name"),
            where=element.where,
            score=result.number("probability") if result.find("probability") is not None else None,
            line=element.line,
        )
    stated_name = root.find("source", "filename")
    # A label file and its image have the same name except for the suffix, which is taken from the <filename> element.
    suffix = "" if stated_name is None else PurePosixPath(stated_name.text.strip()).suffix
    return objects.build(f"{path.stem}{suffix}", path, root.size())


def _point(point: XmlElement) -> list[float]:
    fields = point.text.split(",")
    if len(fields) != 2:
        raise UserError(f"a point must be 'x,y', got {quote(point.text)}", where=point.where)
    return [parse_finite(field.strip(), point.path, point.line) for field in fields]


def _format_file(image: ImageLabels) -> bytes:
    lines = ["<annotation>", f"  <source>{xml_tag('filename', image.name)}</source>"]
    if image.size:
        width, height = image.size
        lines.append(f"  <size>{xml_tag('width', width)}{xml_tag('height', height)}{xml_tag('depth', 3)}</size>")
    lines.append("  <objects>")
    for row, (name, polygon) in enumerate(zip(image.classes, image.polygons.tolist())):
        score = "" if image.scores is None else xml_tag("probability", float(image.scores[row]))
        ring = [*polygon, *polygon[:2]]  # FAIR1M repeats the first corner at the end
        points = "".join(xml_tag("point", f"{x},{y}") for x, y in zip(ring[0::2], ring[1::2]))
        lines += [
            "    <object>",
            "      <coordinate>pixel</coordinate><type>rectangle</type><description>None</description>",
            f"      <possibleresult>{xml_tag('name', name)}{score}</possibleresult>",
            f"      <points>{points}</points>",
            "    </object>",
        ]
    return "\n".join([*lines, "  </objects>", "</annotation>", ""]).encode()
