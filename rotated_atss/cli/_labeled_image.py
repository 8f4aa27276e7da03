"""Find the label file with the same name as an image, and read the labeled objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rotated_atss.errors import UserError, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray


CROWD = 3  # difficult flag of a crowd box; DOTA's flags are 0 to 2
_MAX_NAME_LENGTH = 40  # in characters; a longer class name is shortened


class LabeledObjects(NamedTuple):
    """The labeled objects of one image; objects whose area is zero are left out.

    Attributes:
        polygons: (N, 8) array of corners in pixels.
        names: Class name of each object, shortened to 40 characters.
        difficult: Difficult flag of each object, 0 to 2; ``CROWD`` for a crowd box of COCO.
        num_without_area: Number of objects that are left out; always 0 for COCO, whose reader does not count them.
    """

    polygons: NDArray
    names: list[str]
    difficult: list[int]
    num_without_area: int


def find_image_and_labels(image: str, labels: str | None, data: str | None) -> tuple[Path, Path]:
    """Find an image and its label file.

    Args:
        image: Path of the image; with ``data``, the name of a tile, with or without suffix.
        labels: A DOTA label file, a folder of DOTA label files, or a COCO instances JSON. None: a DOTA label file with
            the name of the image is looked up. With ``data``, this file must be in the folder ``labelTxt`` of ``data``.
            Without ``data``, it may be in ``labelTxt`` next to the image's folder, or else in the image's folder.
        data: Dataset folder with ``images`` and ``labelTxt``.

    Raises:
        UserError: The image or the label file does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("P1.png", "P1.txt"):
        ...         Path(folder, name).touch()
        ...     find_image_and_labels(f"{folder}/P1.png", None, None)[1].name
        'P1.txt'
    """
    path = Path(image) if data is None else _find_tile(Path(data), image)
    if not path.is_file():
        raise UserError("no such image", where=path)
    name = f"{path.stem}.txt"
    if labels is not None:
        label_files = [Path(labels, name) if Path(labels).is_dir() else Path(labels)]
    elif data is not None:
        label_files = [Path(data) / "labelTxt" / name]
    else:
        label_files = [path.parent.parent / "labelTxt" / name, path.parent / name]
    for label_file in label_files:
        if label_file.is_file():
            return path, label_file
    raise UserError("no label file for this image", where=label_files[0], hint="give it with --labels")


def _find_tile(data: Path, name: str) -> Path:
    from rotated_atss.dota.folders import list_images

    images = [path for path in list_images(data / "images") if name in (path.name, path.stem)]
    if not images:
        raise UserError(f"no image '{name}'", where=data / "images", hint="give the name of a tile")
    return images[0]


def read_objects(label_file: Path, image: Path) -> LabeledObjects:
    """Read the labeled objects of an image; class names are not checked.

    Args:
        label_file: A DOTA label file, or a COCO instances JSON.
        image: The image file.

    Raises:
        UserError: The file is malformed, or the JSON does not list the image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "P1.txt")
        ...     _ = path.write_text("10 10 30 10 30 20 10 20 ship 1")
        ...     read_objects(path, Path("P1.png")).difficult
        [1]
    """
    import numpy as np

    from rotated_atss.dota.labels import read_labels
    from rotated_atss.ops.polygon_iou import polygon_areas

    if label_file.suffix.lower() == ".json":
        return _read_coco_objects(label_file, image)
    labels = read_labels(label_file)
    has_area = polygon_areas(labels.polygons) > 0
    rows = np.flatnonzero(has_area).tolist()
    names = [printable(labels.names[row], _MAX_NAME_LENGTH) for row in rows]
    difficult = [int(labels.difficult[row]) for row in rows]
    return LabeledObjects(labels.polygons[has_area], names, difficult, num_without_area=int((~has_area).sum()))


def _read_coco_objects(json_path: Path, image: Path) -> LabeledObjects:
    import numpy as np

    from rotated_atss.coco.instances import read_instances
    from rotated_atss.ops.box_polygons import hbb_polygons

    instances = read_instances(json_path)
    entry = next((entry for entry in instances.images if Path(entry.file_name).name == image.name), None)
    if entry is None:
        raise UserError(f"no entry for the image {image.name}", where=json_path)
    objects = instances.objects.get(entry.id, [])
    boxes = np.array([obj.box for obj in objects], np.float64).reshape(-1, 4)
    names = [printable(instances.categories[obj.category_id], _MAX_NAME_LENGTH) for obj in objects]
    difficult = [CROWD if obj.iscrowd else 0 for obj in objects]
    # read_instances leaves out boxes without area, but does not count them per image
    return LabeledObjects(hbb_polygons(boxes), names, difficult, num_without_area=0)
