"""DOTA text: one label file per image, or Task1 detection files, one per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rotated_atss.dota.detections import TASK1_PREFIX, Detections, format_detections, read_detections, task1_path
from rotated_atss.dota.folders import check_image_name
from rotated_atss.dota.labels import format_labels, read_labels
from rotated_atss.errors import UserError
from rotated_atss.io.files import write_bytes
from rotated_atss.label_formats.records import ImageLabels, ReadOptions


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read label files, one per image, or Task1 files of detections, one per class.

    Args:
        paths: The files.
        options: ``classes`` is needed if the files have class names with spaces, such as ``small car``. These names
            are returned with hyphens.

    Raises:
        UserError: A file is malformed, or the folder contains both labels and detections.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 1")
        ...     read([Path(folder, "P1.txt")], ReadOptions())[0].classes
        ('ship',)
    """
    task1_paths = [path for path in paths if path.name.startswith(TASK1_PREFIX)]
    if not task1_paths:
        return [_read_file(path, options.classes) for path in paths]
    if len(task1_paths) < len(paths):
        label_path = next(path for path in paths if path not in task1_paths)
        hint = "move the Task1 files to another folder"
        raise UserError(f"the folder also contains the detections {task1_paths[0].name}", where=label_path, hint=hint)
    return _read_task1(task1_paths)


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write one label file per image, or one Task1 file per class if an image has scores.

    Task1 files contain only the images that have scores.

    Args:
        images: The images. The class names of their objects contain no spaces.
        classes: Class names. If Task1 files are written, each class gets one, even if it has no detections.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> image_without_objects = ObjectList().build("P1.png", Path("P1.xml"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([image_without_objects], [], Path(folder))
        ...     [path.name for path in Path(folder).iterdir()]
        ['P1.txt']
    """
    if any(image.scores is not None for image in images):
        _write_task1(images, classes, folder)
        return
    for image in images:
        check_image_name(image.image_id, image.source)
        text = format_labels(image.polygons, image.classes, image.difficult, header=image.header)
        write_bytes(folder / f"{image.image_id}.txt", text)


def _read_file(path: Path, classes: Sequence[str] | None) -> ImageLabels:
    # The caller checks for unknown classes. read_labels would reject them too, so it gets the classes only if it needs
    # them to recognize names with spaces.
    has_spaced_names = any(" " in name for name in classes or ())
    labels = read_labels(path, classes if has_spaced_names else None)
    return ImageLabels(
        name=path.stem,
        source=path,
        polygons=labels.polygons,
        classes=labels.names,
        difficult=labels.difficult,
        lines=labels.line_numbers,
        header=labels.header,
    )


def _read_task1(paths: Sequence[Path]) -> list[ImageLabels]:
    """Read Task1 files and gather their detections by image, sorted by image id."""
    by_class = {path.stem.removeprefix(TASK1_PREFIX): read_detections(path) for path in paths}
    image_ids = sorted({image_id for detections in by_class.values() for image_id in detections.images})
    index_by_image_id = {image_id: index for index, image_id in enumerate(image_ids)}
    polygons = np.concatenate([detections.polygons for detections in by_class.values()])
    scores = np.concatenate([detections.scores for detections in by_class.values()])
    # The image_index of detections counts the images of their own file; convert it to an index of ``image_ids``.
    converted_indices = []
    for detections in by_class.values():
        index_in_image_ids = np.array([index_by_image_id[image_id] for image_id in detections.images], dtype=np.int64)
        converted_indices.append(index_in_image_ids[detections.image_index])
    image_index = np.concatenate(converted_indices)
    object_classes = [name for name, detections in by_class.items() for _ in range(len(detections))]
    order = np.argsort(image_index, kind="stable")
    # Positions in ``order`` at which the images from the second on start, as np.split expects them.
    image_starts = np.searchsorted(image_index[order], np.arange(1, len(image_ids)))
    rows_by_image = np.split(order, image_starts) if image_ids else []
    return [
        ImageLabels(
            name=image_id,
            source=paths[0].parent,  # the folder, since an image can be in several Task1 files
            polygons=polygons[rows],
            classes=tuple(object_classes[row] for row in rows),
            difficult=np.zeros(len(rows), dtype=np.int64),
            scores=scores[rows],
            lines=np.zeros(len(rows), dtype=np.int64),  # 0 because a folder has no lines
        )
        for image_id, rows in zip(image_ids, rows_by_image)
    ]


def _write_task1(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    for name in classes:
        ids: list[str] = []
        polygons, scores = [np.empty((0, 8))], [np.empty(0)]  # concatenate fails without any array
        for image in images:
            rows = [row for row, object_class in enumerate(image.classes) if object_class == name]
            if rows and image.scores is not None:
                ids += [image.image_id] * len(rows)
                polygons.append(image.polygons[rows])
                scores.append(image.scores[rows])
        detections = Detections.from_ids(ids, np.concatenate(scores), np.concatenate(polygons))
        write_bytes(task1_path(folder, name), format_detections(detections))
