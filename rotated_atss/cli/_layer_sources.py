"""Boxes that ``draw`` and ``demo`` draw: DOTA label files, COCO instances JSON, Task1 detection files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from rotated_atss.cli._pictures import Layer
from rotated_atss.coco.instances import CocoObject, read_instances
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import Detections, list_task1_files, read_detections
from rotated_atss.dota.folders import list_label_files
from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError
from rotated_atss.ops.box_polygons import hbb_polygons

Style = TypeVar("Style")

_CROWD = " (crowd)"
_EMPTY_LAYER = Layer(np.empty((0, 8)), [], np.empty(0))


class LayerSource(NamedTuple):
    """A source of boxes for all images.

    Attributes:
        layer: Function that returns the boxes of an image, given its path.
        classes: Class names that ``--classes`` can select.
        present: Class names that occur in the source, which get a color. For COCO and Task1 files, all of ``classes``.
    """

    layer: Callable[[Path], Layer]
    classes: tuple[str, ...]
    present: tuple[str, ...]


def select_boxes(layer: Layer, classes: Collection[str]) -> Layer:
    """Select the boxes of some classes.

    Example:
        >>> select_boxes(Layer(np.zeros((2, 8)), ["ship", "car"]), ["car"]).names
        ['car']
    """
    rows = [row for row, name in enumerate(layer.names) if name.removesuffix(_CROWD) in classes]
    scores = None if layer.scores is None else layer.scores[rows]
    return replace(layer, polygons=layer.polygons[rows], names=[layer.names[row] for row in rows], scores=scores)


def add_crowd_styles(styles: Mapping[str, Style]) -> dict[str, Style]:
    """Add the names of crowd boxes to styles by class name: a crowd box looks like the objects of its class.

    Example:
        >>> add_crowd_styles({"cup": 7})
        {'cup': 7, 'cup (crowd)': 7}
    """
    return {**styles, **{name + _CROWD: style for name, style in styles.items()}}


def dota_labels(folder: str | Path, images: Sequence[Path]) -> LayerSource:
    """Read the DOTA label files of all images, so that a malformed line is reported before any picture is written.

    Args:
        folder: Folder of label files (labelTxt).
        images: Image files; each needs a label file of the same name.

    Raises:
        UserError: The folder or the label file of an image does not exist, or a line is malformed.

    Example::

        dota_labels("labelTxt", [Path("images/P0001.png")]).layer(Path("images/P0001.png")).names
    """
    files = {path.stem: path for path in list_label_files(folder)}
    _check_complete([path.name for path in images if path.stem not in files], folder, "label file")
    labels = {path.stem: read_labels(files[path.stem]) for path in images}
    present = dict.fromkeys(name for label_set in labels.values() for name in label_set.names)
    names = dict.fromkeys([*CLASSES["v2.0"], *present])  # v2.0 has the classes of all DOTA versions
    layer = lambda image: Layer(labels[image.stem].polygons, labels[image.stem].names)  # noqa: E731
    return LayerSource(layer, tuple(names), tuple(present))


def coco_labels(path: str | Path, images: Sequence[Path]) -> LayerSource:
    """Read the boxes of a COCO instances JSON; the names of crowd boxes end in ``(crowd)``.

    Args:
        path: The JSON file.
        images: Image files; each needs an entry of the same file name.

    Raises:
        UserError: The file is not an instances JSON, or does not list an image.

    Example::

        coco_labels("instances.json", [Path("images/a.jpg")]).layer(Path("images/a.jpg")).names
    """
    instances = read_instances(path)
    ids = {Path(image.file_name).name: image.id for image in instances.images}
    _check_complete([image.name for image in images if image.name not in ids], path, "entry")

    def read(image: Path) -> Layer:
        return _coco_layer(instances.objects.get(ids[image.name], []), instances.categories)

    names = tuple(instances.categories.values())
    return LayerSource(read, names, names)


def task1_detections(folder: str | Path, images: Sequence[Path]) -> LayerSource:
    """Read the detections of a folder of Task1 files.

    Args:
        folder: Folder of ``Task1_<class>.txt``.
        images: Image files that are to be drawn.

    Raises:
        UserError: The folder or its files do not exist, a line is malformed, or all detections lie on other images.

    Example::

        task1_detections("merged", [Path("images/P0001.png")]).layer(Path("images/P0001.png")).scores
    """
    files = _list_task1_files(folder)
    by_image = _group_by_image({name: read_detections(path) for name, path in files.items()})
    if by_image and not any(path.stem in by_image for path in images):
        hint = f"the first lies on {min(by_image)}"
        raise UserError("no detection lies on an image that is to be drawn", where=folder, hint=hint)
    return LayerSource(lambda image: by_image.get(image.stem, _EMPTY_LAYER), tuple(files), tuple(files))


def _list_task1_files(folder: str | Path) -> dict[str, Path]:
    """List the Task1 files by class. If they are in a subfolder, as ``predict`` writes them, the error names it."""
    try:
        return list_task1_files(folder)
    except UserError as error:
        inner = sorted({path.parent for path in Path(folder).glob("*/Task1_*.txt")})
        if not inner:
            raise
        raise UserError(error.what, where=folder, hint=f"they are in {inner[0]}: give that folder") from error


def _coco_layer(objects: Sequence[CocoObject], categories: Mapping[int, str]) -> Layer:
    boxes = np.array([obj.box for obj in objects], dtype=np.float64).reshape(-1, 4)
    names = [categories[obj.category_id] + (_CROWD if obj.iscrowd else "") for obj in objects]
    return Layer(hbb_polygons(boxes), names)


def _group_by_image(by_class: Mapping[str, Detections]) -> dict[str, Layer]:
    """Convert detections by class name to layers by image id."""
    parts: dict[str, list[tuple[str, Detections]]] = defaultdict(list)  # image id -> class names and detections
    for name, detections in by_class.items():
        order = np.argsort(detections.image_index, kind="stable")
        ends = np.cumsum(np.bincount(detections.image_index, minlength=len(detections.images)))
        for image, rows in zip(detections.images, np.split(order, ends[:-1])):
            parts[image].append((name, detections.take(rows)))
    return {
        image: Layer(
            np.concatenate([detections.polygons for _, detections in image_parts]),
            [name for name, detections in image_parts for _ in range(len(detections))],
            np.concatenate([detections.scores for _, detections in image_parts]),
        )
        for image, image_parts in parts.items()
    }


def _check_complete(missing: Sequence[str], where: str | Path, item: str) -> None:
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"no {item} for the image {missing[0]}{more}", where=where)
