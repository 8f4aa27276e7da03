"""Read the images and objects of a dataset from labels of any format or from a COCO JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rotated_atss.analysis.dataset_objects import DatasetObjects
from rotated_atss.analysis.image_metadata import ImageMetadata, read_image_metadata
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
    """Read labels of any supported format, and the image sizes from the headers of the image files.

    Images without labels are included and have no objects. Labels without an image file are included, too; the image
    size is then the one in the labels, if they have one. ``notes`` of the result contain the number of images without
    labels and of labels without an image.

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
    metadata_by_image = dict(zip([path.stem for path in files], read_image_metadata(files, workers)))
    labels_by_image = {record.image_id: record for record in label_set.images}
    notes = list(label_set.notes)
    if unlabeled := [name for name in metadata_by_image if name not in labels_by_image]:
        notes.append(f"{count_of(len(unlabeled), 'image')} without labels, the first is {unlabeled[0]}")
    if without_image := [name for name in labels_by_image if name not in metadata_by_image]:
        notes.append(f"{count_of(len(without_image), 'label file')} without an image, the first is {without_image[0]}")
    return _join_metadata_and_labels(metadata_by_image, labels_by_image, label_set.classes, notes)


def reject_detections(label_set: LabelSet) -> None:
    """Check that a label set has no scores, which only detections have.

    Raises:
        UserError: The objects have scores.

    Example:
        >>> reject_detections(LabelSet("dota", (), (), ()))
    """
    for record in label_set.images:
        if record.scores is not None:
            hint = "give the ground-truth labels"
            raise UserError("the objects have scores: these are detections", where=record.source, hint=hint)


def _join_metadata_and_labels(
    metadata_by_image: Mapping[str, ImageMetadata],
    labels_by_image: Mapping[str, ImageLabels],
    listed_classes: Sequence[str],
    notes: Sequence[str],
) -> DatasetObjects:
    """Join the metadata of the image files and the labels by image name.

    Args:
        metadata_by_image: Metadata of each image file.
        labels_by_image: Labels of each image that has labels.
        listed_classes: Classes in index order; empty if the label format does not list them.
        notes: Notes for the result.
    """
    used_classes = {name for record in labels_by_image.values() for name in record.classes}
    classes = tuple(dict.fromkeys(listed_classes)) or tuple(sorted(used_classes))
    index_of = {name: index for index, name in enumerate(classes)}
    image_names = sorted({*metadata_by_image, *labels_by_image})
    # per image, the metadata and the labels; one of the two can be None
    pairs = [(metadata_by_image.get(name), labels_by_image.get(name)) for name in image_names]
    labeled = [record for _, record in pairs if record is not None]
    num_objects = [0 if record is None else len(record) for _, record in pairs]
    return DatasetObjects(
        image_names=tuple(image_names),
        image_wh=np.array([_size(*pair) for pair in pairs], np.int64).reshape(-1, 2),
        ground_resolution=np.array([_resolution(*pair) for pair in pairs], np.float64),
        image_index=np.repeat(np.arange(len(image_names)), num_objects),
        class_index=np.array([index_of[name] for record in labeled for name in record.classes], np.int64),
        class_names=classes,
        polygons=np.concatenate([np.empty((0, 8)), *(record.polygons for record in labeled)]),
        difficult=np.concatenate([np.empty(0, np.int64), *(record.difficult for record in labeled)]),
        notes=tuple(notes),
    )


def _size(metadata: ImageMetadata | None, record: ImageLabels | None) -> tuple[int, int]:
    """Return width and height from the image file or, if it has none, from the labels; (0, 0) if both are unknown."""
    if metadata is not None and metadata.size is not None:
        return metadata.size
    if record is not None and record.size:
        return record.size
    return (0, 0)


def _resolution(metadata: ImageMetadata | None, record: ImageLabels | None) -> float:
    """Return the meters per pixel from the image file or, if it has none, from the labels; NaN if both are unknown."""
    resolution = None if metadata is None else metadata.ground_resolution
    if resolution is None and record is not None and record.header:
        resolution = parse_ground_resolution("\n".join(record.header).encode())
    return float("nan") if resolution is None else resolution


def read_coco_objects(path: str | Path) -> DatasetObjects:
    """Read the horizontal boxes of a COCO instances JSON, without opening the images.

    Crowd boxes, which enclose several objects, are left out, and so are boxes that have no area inside their image.
    ``notes`` of the result contain the number of boxes left out for each reason.

    Args:
        path: The JSON file.

    Raises:
        UserError: The file is missing or invalid, see :func:`rotated_atss.coco.instances.read_instances`.

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
    class_index_of = {category_id: index for index, category_id in enumerate(instances.categories)}
    image_index, class_index, boxes = [], [], []
    num_crowds = 0
    for index, image in enumerate(instances.images):
        for annotation in instances.objects.get(image.id, ()):
            if annotation.iscrowd:
                num_crowds += 1
                continue
            image_index.append(index)
            class_index.append(class_index_of[annotation.category_id])
            boxes.append(annotation.box)  # x1, y1, x2, y2
    return DatasetObjects(
        image_names=tuple(Path(image.file_name).stem for image in instances.images),
        image_wh=np.array([(image.width, image.height) for image in instances.images], np.int64).reshape(-1, 2),
        ground_resolution=np.full(len(instances.images), np.nan),
        image_index=np.array(image_index, np.int64),
        class_index=np.array(class_index, np.int64),
        class_names=tuple(instances.categories.values()),
        polygons=hbb_polygons(np.array(boxes, np.float64).reshape(-1, 4)),
        difficult=np.zeros(len(boxes), np.int64),
        notes=_coco_notes(instances, num_crowds),
    )


def _coco_notes(instances: Instances, num_crowds: int) -> tuple[str, ...]:
    notes = [f"{count_of(num_crowds, 'crowd box')} left out"] if num_crowds else []
    if instances.dropped:  # boxes without area, which read_instances has left out
        count = count_of(len(instances.dropped), "box")
        notes.append(f"{count} without area left out, the first is {instances.dropped[0]}")
    return tuple(notes)
