"""Read the boxes that ``draw`` and ``demo`` draw, from DOTA label files, a COCO instances JSON or Task1 files."""

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
from rotated_atss.errors import UserError, first_of
from rotated_atss.ops.box_polygons import hbb_polygons

Style = TypeVar("Style")

_CROWD_SUFFIX = " (crowd)"
_EMPTY_LAYER = Layer(np.empty((0, 8)), [], np.empty(0))


class LayerSource(NamedTuple):
    """A source of boxes for all images.

    Attributes:
        get_layer: Function that returns the boxes on an image, given its path.
        classes: Class names that ``--classes`` can select.
        present_classes: Class names that get a color. For DOTA label files, these are the classes that occur in them;
            for COCO and Task1 files, all of ``classes``.
        image_ids: Ids of all images with detections in the Task1 files, including images that are not drawn. Empty for
            labels.
    """

    get_layer: Callable[[Path], Layer]
    classes: tuple[str, ...]
    present_classes: tuple[str, ...]
    image_ids: tuple[str, ...] = ()


def select_boxes(layer: Layer, classes: Collection[str]) -> Layer:
    """Select the boxes of some classes, including the crowd boxes of these classes.

    Example:
        >>> select_boxes(Layer(np.zeros((2, 8)), ["ship", "car"]), ["car"]).names
        ['car']
    """
    rows = [row for row, name in enumerate(layer.names) if name.removesuffix(_CROWD_SUFFIX) in classes]
    scores = None if layer.scores is None else np.asarray(layer.scores)[rows]
    return replace(layer, polygons=layer.polygons[rows], names=[layer.names[row] for row in rows], scores=scores)


def add_crowd_styles(styles: Mapping[str, Style]) -> dict[str, Style]:
    """Add a style for the crowd boxes of each class; a crowd box is drawn like the other boxes of its class.

    The name of a crowd box is its class name and ``(crowd)``.

    Example:
        >>> add_crowd_styles({"cup": 7})
        {'cup': 7, 'cup (crowd)': 7}
    """
    return {**styles, **{name + _CROWD_SUFFIX: style for name, style in styles.items()}}


def read_dota_labels(folder: str | Path, images: Sequence[Path]) -> LayerSource:
    """Read the DOTA label files of all images, so that a malformed line is reported before any picture is written.

    Args:
        folder: Folder of label files (labelTxt).
        images: Image files; each needs a label file of the same name.

    Raises:
        UserError: The folder or the label file of an image does not exist, or a line is malformed.

    Example::

        read_dota_labels("labelTxt", [Path("images/P0001.png")]).get_layer(Path("images/P0001.png")).names
    """
    files = {path.stem: path for path in list_label_files(folder)}
    _reject_missing([path.name for path in images if path.stem not in files], folder, "label file")
    labels_by_image = {path.stem: read_labels(files[path.stem]) for path in images}
    present_classes = dict.fromkeys(name for labels in labels_by_image.values() for name in labels.names)
    classes = dict.fromkeys([*CLASSES["v2.0"], *present_classes])  # v2.0 has the classes of all DOTA versions

    def get_layer(image: Path) -> Layer:
        labels = labels_by_image[image.stem]
        return Layer(labels.polygons, labels.names)

    return LayerSource(get_layer, tuple(classes), tuple(present_classes))


def read_coco_labels(path: str | Path, images: Sequence[Path]) -> LayerSource:
    """Read the boxes of a COCO instances JSON; the names of crowd boxes end in ``(crowd)``.

    Args:
        path: The JSON file.
        images: Image files; each needs an entry of the same file name.

    Raises:
        UserError: The file is not an instances JSON, or does not list an image.

    Example::

        read_coco_labels("instances.json", [Path("images/a.jpg")]).get_layer(Path("images/a.jpg")).names
    """
    instances = read_instances(path)
    ids = {Path(image.file_name).name: image.id for image in instances.images}
    _reject_missing([image.name for image in images if image.name not in ids], path, "entry")

    def get_layer(image: Path) -> Layer:
        return _build_coco_layer(instances.objects.get(ids[image.name], []), instances.categories)

    classes = tuple(instances.categories.values())
    return LayerSource(get_layer, classes, classes)


def read_task1_detections(folder: str | Path, images: Sequence[Path]) -> LayerSource:
    """Read the detections of a folder of Task1 files.

    Args:
        folder: Folder of ``Task1_<class>.txt``.
        images: Image files that are to be drawn.

    Raises:
        UserError: The folder or its files do not exist, a line is malformed, or no detection lies on any of ``images``.

    Example::

        read_task1_detections("merged", [Path("images/P0001.png")]).get_layer(Path("images/P0001.png")).scores
    """
    files = _list_task1_files(folder)
    layers = _group_by_image({name: read_detections(path) for name, path in files.items()})
    if layers and not any(path.stem in layers for path in images):
        hint = f"the first image with detections is {min(layers)}"
        raise UserError("no detection lies on an image that is to be drawn", where=folder, hint=hint)
    classes = tuple(files)
    return LayerSource(lambda image: layers.get(image.stem, _EMPTY_LAYER), classes, classes, tuple(layers))


def _list_task1_files(folder: str | Path) -> dict[str, Path]:
    """List the Task1 files by class.

    ``predict`` writes Task1 files into a subfolder. If the files are in a subfolder, the error message names it.
    """
    try:
        return list_task1_files(folder)
    except UserError as error:
        subfolders = sorted({path.parent for path in Path(folder).glob("*/Task1_*.txt")})
        if not subfolders:
            raise
        raise UserError(error.what, where=folder, hint=f"they are in {subfolders[0]}: give that folder") from error


def _build_coco_layer(objects: Sequence[CocoObject], categories: Mapping[int, str]) -> Layer:
    boxes = np.array([obj.box for obj in objects], dtype=np.float64).reshape(-1, 4)
    names = [categories[obj.category_id] + (_CROWD_SUFFIX if obj.iscrowd else "") for obj in objects]
    return Layer(hbb_polygons(boxes), names)


def _group_by_image(by_class: Mapping[str, Detections]) -> dict[str, Layer]:
    """Convert detections by class name to layers by image id."""
    by_image: dict[str, list[tuple[str, Detections]]] = defaultdict(list)  # image id -> class names and detections
    for name, detections in by_class.items():
        rows_sorted_by_image = np.argsort(detections.image_index, kind="stable")
        # The rows of image i end before position stops[i] of rows_sorted_by_image.
        stops = np.cumsum(np.bincount(detections.image_index, minlength=len(detections.images)))
        for image, rows in zip(detections.images, np.split(rows_sorted_by_image, stops[:-1])):
            by_image[image].append((name, detections.take(rows)))
    layers = {}
    for image, class_detections in by_image.items():
        names: list[str] = []
        for name, detections in class_detections:
            names += [name] * len(detections)
        polygons = np.concatenate([detections.polygons for _, detections in class_detections])
        scores = np.concatenate([detections.scores for _, detections in class_detections])
        layers[image] = Layer(polygons, names, scores)
    return layers


def _reject_missing(missing: Sequence[str], where: str | Path, item: str) -> None:
    """Refuse images without an ``item``, such as "label file"; ``missing`` are their file names."""
    if missing:
        raise UserError(f"no {item} for the image {first_of(missing)}", where=where)
