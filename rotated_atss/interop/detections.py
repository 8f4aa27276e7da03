"""Convert detections to label records, the input of the exports to other tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from rotated_atss.errors import UserError, count_of
from rotated_atss.io.images import image_size
from rotated_atss.io.numbers import shortest_float64
from rotated_atss.label_formats.geometry import boxes_to_polygons
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.records import ImageLabels, image_id_of

ImageSource = str | Path | Mapping[str, tuple[int, int]]
"""A folder of images, or (width, height) in pixels by file name."""


class ImageDetections(Protocol):
    """Detections on one image, such as :class:`rotated_atss.tiling.merge_boxes.BoxDetections`.

    Attributes:
        name: Image id, that is, the file name of the image without suffix.
        boxes: (K, 5) ``cx, cy, w, h, angle`` in pixels and radians.
        scores: (K,).
        labels: (K,) class indices.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def boxes(self) -> np.ndarray: ...  # noqa: D102
    @property
    def scores(self) -> np.ndarray: ...  # noqa: D102
    @property
    def labels(self) -> np.ndarray: ...  # noqa: D102


def look_up_class_names(labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Return the class names of class indices.

    Args:
        labels: (K,) class indices.
        class_names: Class names in the order of the indices.

    Raises:
        UserError: A label has no name.

    Example:
        >>> look_up_class_names(np.array([1, 0]), ["plane", "ship"])
        ['ship', 'plane']
    """
    indices = labels.tolist()
    for index in indices:
        if not 0 <= index < len(class_names):
            names = count_of(len(class_names), "class name")
            raise UserError(f"every label needs a class name, got label {index} and {names}")
    return [class_names[index] for index in indices]


def to_records(
    detections: Iterable[ImageDetections], class_names: Sequence[str], images: ImageSource
) -> list[ImageLabels]:
    """Convert detections to label records, which every format of :mod:`rotated_atss.label_formats` can write.

    Args:
        detections: Detections on full images.
        class_names: Class names in the order of the class indices.
        images: A folder of images, or (width, height) in pixels by file name.

    Returns:
        One record per image.

    Raises:
        UserError: An image is not among ``images``, or a label has no name.

    Example:
        >>> from rotated_atss.tiling.merge_boxes import BoxDetections
        >>> ship = BoxDetections("P1", np.array([[10.0, 10, 8, 4, 0]]), np.array([0.5]), np.array([0]))
        >>> (record,) = to_records([ship], ["ship"], {"P1.png": (20, 30)})
        >>> record.name, record.size, record.classes, record.polygons.tolist()
        ('P1.png', (20, 30), ('ship',), [[6.0, 8.0, 14.0, 8.0, 14.0, 12.0, 6.0, 12.0]])
    """
    look_up_image = _make_image_lookup(images)
    records = []
    for image_detections in detections:
        file_name, size = look_up_image(image_detections.name)
        num_detections = len(image_detections.boxes)
        records.append(
            ImageLabels(
                name=file_name,
                source=Path(file_name),
                polygons=boxes_to_polygons(image_detections.boxes),
                classes=tuple(look_up_class_names(image_detections.labels, class_names)),
                difficult=np.zeros(num_detections, dtype=np.int64),
                scores=shortest_float64(image_detections.scores),  # written as 0.9, not as 0.8999999761581421
                size=size,
                lines=np.zeros(num_detections, dtype=np.int64),  # the objects were not read from lines of a file
            )
        )
    return records


def _make_image_lookup(images: ImageSource) -> Callable[[str], tuple[str, tuple[int, int]]]:
    """Return a function from image id to file name and size (width, height) in pixels."""
    if isinstance(images, Mapping):
        by_id = {image_id_of(file_name): (file_name, size) for file_name, size in images.items()}

        def look_up_by_id(image_id: str) -> tuple[str, tuple[int, int]]:
            if image_id not in by_id:
                num_images = count_of(len(by_id), "image")
                raise UserError(
                    f"the images must include all images with detections: {image_id} is missing, got {num_images}"
                )
            return by_id[image_id]

        return look_up_by_id
    files = ImageFiles(images)

    def look_up_in_folder(image_id: str) -> tuple[str, tuple[int, int]]:
        path = files.path(image_id, labels="the detections")  # labels= is only used in the error message
        return path.name, image_size(path)

    return look_up_in_folder
