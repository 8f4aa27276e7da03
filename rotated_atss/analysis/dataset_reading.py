"""Read the images and objects of a dataset from labels of any format or from a COCO JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.analysis.dataset_objects import DatasetObjects
from rotated_atss.analysis.image_facts import ImageFacts, read_image_facts
from rotated_atss.coco.instances import Instances, read_instances
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.ground_resolution import parse_ground_resolution
from rotated_atss.errors import UserError, count_of
from rotated_atss.label_formats.parallel_reading import read_label_set_parallel
from rotated_atss.label_formats.reading import AUTO
from rotated_atss.label_formats.records import ImageLabels, LabelSet
from rotated_atss.ops.box_polygons import hbb_polygons


def read_labeled_images(
    images: str | Path,
    labels: str | Path,
    label_format: str = AUTO,
    *,
    classes: Sequence[str] | None = None,
    workers: int = 1,
) -> DatasetObjects:
    """Read labels of any format, and the sizes of their images from the headers.

    An image without labels has no objects; a label without an image has an unknown size. Both are noted.

    Args:
        images: Folder of the images.
        labels: Folder or file of the labels.
        label_format: A label format, or ``auto``.
        classes: Class names in index order, for formats that store class indices.
        workers: Number of processes.

    Raises:
        UserError: A folder is missing, or a label is malformed.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.zeros((40, 60, 3), np.uint8))
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     objects = read_labeled_images(folder, folder)
        >>> objects.image_wh.tolist(), objects.class_names
        ([[60, 40]], ('ship',))
    """
    files = list_images(images)
    label_set = read_label_set_parallel(labels, label_format, image_folder=images, classes=classes, workers=workers)
    reject_detections(label_set)
    facts = dict(zip([path.stem for path in files], read_image_facts(files, workers)))
    records = {record.image_id: record for record in label_set.images}
    notes = list(label_set.notes)
    for missing, noun, text in (
        ([name for name in facts if name not in records], "image", "without labels"),
        ([name for name in records if name not in facts], "label file", "without an image"),
    ):
        if missing:
            notes.append(f"{count_of(len(missing), noun)} {text}, the first is {missing[0]}")
    return _from_records(facts, records, label_set, notes)


def reject_detections(label_set: LabelSet) -> None:
    """Raise an error if objects have scores.

    Raises:
        UserError: As described.

    Example:
        >>> reject_detections(LabelSet("dota", (), (), ()))
    """
    for record in label_set.images:
        if record.scores is not None:
            raise UserError("the objects have scores: these are detections", where=record.source, hint="give labels")


def _from_records(
    facts: Mapping[str, ImageFacts], records: Mapping[str, ImageLabels], label_set: LabelSet, notes: Sequence[str]
) -> DatasetObjects:
    names = sorted({*facts, *records})
    found = [records.get(name) for name in names]
    classes = tuple(dict.fromkeys(label_set.classes)) or tuple(sorted({c for r in records.values() for c in r.classes}))
    number = {name: index for index, name in enumerate(classes)}
    used = [record for record in found if record is not None]
    return DatasetObjects(
        image_names=tuple(names),
        image_wh=np.array([_size(facts.get(n), r) for n, r in zip(names, found)], np.int64).reshape(-1, 2),
        ground_resolution=np.array([_resolution(facts.get(n), r) for n, r in zip(names, found)], np.float64),
        image_index=np.repeat(np.arange(len(names)), [0 if record is None else len(record) for record in found]),
        class_index=np.array([number[name] for record in used for name in record.classes], np.int64),
        class_names=classes,
        polygons=np.concatenate([np.empty((0, 8)), *(record.polygons for record in used)]),
        difficult=np.concatenate([np.empty(0, np.int64), *(record.difficult for record in used)]),
        notes=tuple(notes),
    )


def _size(facts: ImageFacts | None, record: ImageLabels | None) -> tuple[int, int]:
    if facts is not None and facts.size is not None:
        return facts.size
    return (record.size if record is not None else None) or (0, 0)


def _resolution(facts: ImageFacts | None, record: ImageLabels | None) -> float:
    found = None if facts is None else facts.ground_resolution
    if found is None and record is not None and record.header:
        found = parse_ground_resolution("\n".join(record.header).encode())
    return float("nan") if found is None else found


def read_coco_objects(path: str | Path) -> DatasetObjects:
    """Read the horizontal boxes of a COCO instances JSON; the images need not exist.

    Crowd boxes are left out, as they enclose several objects. Boxes that have no area, or none inside their image, are
    left out and noted.

    Args:
        path: The JSON.

    Raises:
        UserError: As :func:`rotated_atss.coco.instances.read_instances`.

    Example:
        >>> import json, tempfile
        >>> content = {"images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
        ...            "categories": [{"id": 7, "name": "ship"}],
        ...            "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [5, 6, 20, 10]}]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.json").write_text(json.dumps(content))
        ...     read_coco_objects(Path(folder, "a.json")).boxes.tolist()
        [[15.0, 11.0, 20.0, 10.0, 0.0]]
    """
    instances = read_instances(path)
    number = {category: index for index, category in enumerate(instances.categories)}
    rows: list[tuple[int, int, Any]] = []
    crowds = 0
    for row, image in enumerate(instances.images):
        for each in instances.objects.get(image.id, ()):
            crowds += each.iscrowd
            if not each.iscrowd:
                rows.append((row, number[each.category_id], each.box))
    boxes = np.array([box for _, _, box in rows], np.float64).reshape(-1, 4)
    return DatasetObjects(
        image_names=tuple(Path(image.file_name).stem for image in instances.images),
        image_wh=np.array([(image.width, image.height) for image in instances.images], np.int64).reshape(-1, 2),
        ground_resolution=np.full(len(instances.images), np.nan),
        image_index=np.array([row for row, _, _ in rows], np.int64),
        class_index=np.array([label for _, label, _ in rows], np.int64),
        class_names=tuple(instances.categories.values()),
        polygons=hbb_polygons(boxes),
        difficult=np.zeros(len(rows), np.int64),
        notes=_coco_notes(instances, crowds),
    )


def _coco_notes(instances: Instances, crowds: int) -> tuple[str, ...]:
    notes = [f"{count_of(crowds, 'crowd box')} left out"] if crowds else []
    if instances.dropped:
        notes.append(f"{count_of(len(instances.dropped), 'box')} without area left out, {instances.dropped[0]}")
    return tuple(notes)
