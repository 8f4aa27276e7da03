"""Where the boxes that ``draw`` puts on images come from: DOTA's label files, COCO's JSON, Task1 files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rotated_atss.cli._images import Layer
from rotated_atss.coco.instances import CocoObject, read_instances
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import Detections, list_task1_files, read_detections
from rotated_atss.dota.folders import list_label_files
from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError

_CROWD = " (crowd)"
_NOTHING = Layer(np.empty((0, 8)), [], np.empty(0))


@dataclass(frozen=True)
class Source:
    """Boxes by image, and the classes that they may have."""

    read: Callable[[Path], Layer]
    classes: tuple[str, ...]
    wanted: Collection[str] | None = None

    def of(self, classes: Collection[str]) -> Source:
        """The same of some classes alone."""
        return Source(self.read, self.classes, frozenset(classes))

    def layer(self, image: Path) -> Layer:
        """The boxes of one image. Raises UserError where they cannot be read."""
        layer = self.read(image)
        if self.wanted is None:
            return layer
        rows = [row for row, name in enumerate(layer.names) if name.removesuffix(_CROWD) in self.wanted]
        scores = None if layer.scores is None else layer.scores[rows]
        return Layer(layer.polygons[rows], [layer.names[row] for row in rows], scores)


def dota_labels(folder: str | Path, images: Sequence[Path]) -> Source:
    """Label files of a folder, one an image; all are read at once, so that a malformed line shows before any picture.

    Raises:
        UserError: No such folder, an image without its file, a malformed line.
    """
    files = {path.stem: path for path in list_label_files(folder)}
    _check_listed([path.name for path in images if path.stem not in files], folder, "label file")
    labels = {path.stem: read_labels(files[path.stem]) for path in images}
    names = dict.fromkeys([*CLASSES["v2.0"], *(name for each in labels.values() for name in each.names)])
    return Source(lambda image: Layer(labels[image.stem].polygons, labels[image.stem].names), tuple(names))


def coco_labels(path: str | Path, images: Sequence[Path]) -> Source:
    """The boxes of an instances JSON; a crowd's box is named so.

    Raises:
        UserError: Not such a file, or an image that it does not list.
    """
    instances = read_instances(path)
    numbers = {Path(image.file_name).name: image.id for image in instances.images}
    _check_listed([image.name for image in images if image.name not in numbers], path, "entry")

    def read(image: Path) -> Layer:
        return _coco_layer(instances.objects.get(numbers[image.name], []), instances.categories)

    return Source(read, tuple(instances.categories.values()))


def task1_detections(folder: str | Path, images: Sequence[Path]) -> Source:
    """Detections of a folder of Task1 files.

    Raises:
        UserError: No such folder or file, a malformed line, or detections that all lie on other images.
    """
    files = _task1_files(folder)
    by_image = _by_image({name: read_detections(path) for name, path in files.items()})
    if by_image and not any(path.stem in by_image for path in images):
        hint = f"the first lies on {min(by_image)}"
        raise UserError("no detection lies on an image that is to be drawn", where=folder, hint=hint)
    return Source(lambda image: by_image.get(image.stem, _NOTHING), tuple(files))


def _task1_files(folder: str | Path) -> dict[str, Path]:
    """As ``list_task1_files``; of a folder that has them one folder deeper, as ``predict --out``, it says so."""
    try:
        return list_task1_files(folder)
    except UserError as error:
        inner = sorted({path.parent for path in Path(folder).glob("*/Task1_*.txt")})
        if not inner:
            raise
        raise UserError(error.what, where=folder, hint=f"they are in {inner[0]}: give that folder") from error


def _coco_layer(objects: Sequence[CocoObject], categories: Mapping[int, str]) -> Layer:
    boxes = np.array([each.box for each in objects], dtype=np.float64).reshape(-1, 4)
    names = [categories[each.category_id] + (_CROWD if each.iscrowd else "") for each in objects]
    return Layer(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]], names)


def _by_image(found: Mapping[str, Detections]) -> dict[str, Layer]:
    """Detections by class as boxes by image."""
    parts: dict[str, list[tuple[str, Detections]]] = defaultdict(list)
    for name, detections in found.items():
        order = np.argsort(detections.image_index, kind="stable")
        ends = np.cumsum(np.bincount(detections.image_index, minlength=len(detections.images)))
        for image, rows in zip(detections.images, np.split(order, ends[:-1])):
            parts[image].append((name, detections.take(rows)))
    return {
        image: Layer(
            np.concatenate([each.polygons for _, each in of_image]),
            [name for name, each in of_image for _ in range(len(each))],
            np.concatenate([each.scores for _, each in of_image]),
        )
        for image, of_image in parts.items()
    }


def _check_listed(missing: Sequence[str], where: str | Path, what: str) -> None:
    if missing:
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"no {what} for the image {missing[0]}{rest}", where=where)
