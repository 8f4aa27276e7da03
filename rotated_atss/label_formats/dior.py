"""DIOR-R XML: Pascal VOC with four named corners in ``robndbox``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotated_atss.io.files import write_bytes
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions
from rotated_atss.label_formats.voc import format_annotation, image_file_name
from rotated_atss.label_formats.xml_file import read_xml, xml_tag

# x_left_top, y_left_top, x_right_top, y_right_top, ...: the order of the coordinates in a polygon.
CORNER_TAGS = tuple(
    f"{axis}_{corner}" for corner in ("left_top", "right_top", "right_bottom", "left_bottom") for axis in "xy"
)


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read XML files, one per image.

    Raises:
        UserError: A file is not well formed, or a corner is missing or not a number.

    Example:
        >>> import tempfile
        >>> corners = "".join(map(xml_tag, CORNER_TAGS, (1, 2, 11, 2, 11, 8, 1, 8)))
        >>> text = f"<annotation><object><name>ship</name><robndbox>{corners}</robndbox></object></annotation>"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "00001.xml").write_text(text)
        ...     read([Path(folder, "00001.xml")], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [_read_file(path) for path in paths]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write one XML file per image, named after its image id.

    Args:
        images: The images.
        classes: Unused; the files contain no list of class names.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> image_without_objects = ObjectList().build("00001.jpg", Path("00001.txt"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([image_without_objects], [], Path(folder))
        ...     [path.name for path in Path(folder).iterdir()]
        ['00001.xml']
    """
    for image in images:
        shapes = [
            "<robndbox>" + "".join(map(xml_tag, CORNER_TAGS, row)) + "</robndbox>" for row in image.polygons.tolist()
        ]
        write_bytes(folder / f"{image.image_id}.xml", format_annotation(image, shapes))


def _read_file(path: Path) -> ImageLabels:
    root = read_xml(path)
    objects = ObjectList()
    for element in root.find_all("object"):
        box = element.get("robndbox")
        objects.add(
            [box.number(tag) for tag in CORNER_TAGS], element.child_text("name"), where=element.where,
            difficult=element.flag("difficult"), line=element.line,
        )  # fmt: skip
    return objects.build(image_file_name(root, path), path, root.size())
