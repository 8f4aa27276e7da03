"""Read the labels of the images to split, in any label format."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from rotated_atss.dota.classes import hyphenate, unknown_class_error
from rotated_atss.dota.folders import list_files
from rotated_atss.dota.labels import Labels, read_labels
from rotated_atss.errors import UserError
from rotated_atss.label_formats.class_list import NAMES_FILES
from rotated_atss.label_formats.class_map import map_class, unused_names_note
from rotated_atss.label_formats.convert import respell_classes
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.reading import (
    AUTO,
    list_label_paths,
    read_label_set,
    reject_mixed_formats,
    reject_other_formats,
)
from rotated_atss.label_formats.recognize import possible_formats, recognize_format
from rotated_atss.label_formats.records import ImageLabels
from rotated_atss.label_formats.registry import get_format
from rotated_atss.tiling.source_images import SourceImage

DOTA = "dota"
_GEOJSON_HINT = (
    ", whose coordinates were read as pixels: for map coordinates, add the member crs; longitude and latitude need a "
    "polygon that lies in a georeferenced image"
)

logger = logging.getLogger(__name__)


def find_label_format(label_path: str | Path, format_name: str = AUTO) -> str:
    """Validate the format of a label folder or file, or recognize it.

    Args:
        label_path: Label folder or file.
        format_name: The format, or ``auto`` to recognize it from the files.

    Returns:
        Name of the format. In a folder of text files, it is the format of the first file whose format is certain; the
        reader of this format reports malformed files. If there are no files, or the format of no text file is certain,
        the result is ``dota``, because the reader of DOTA labels reports what is wrong.

    Raises:
        UserError: There is no format of this name, or the files are of an unknown format or of several formats.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     find_label_format(folder)
        'dota'
    """
    path = Path(label_path)
    if format_name != AUTO:
        if path.is_dir():
            reject_other_formats(path, format_name)
        return get_format(format_name).name
    if path.is_dir():
        text_files = [text_file for text_file in list_files(path, (".txt",)) if text_file.name not in NAMES_FILES]
        first_unknown_file = None
        for text_file in text_files:
            formats = possible_formats(text_file)
            if len(formats) == 1:  # not certain for a file without objects, for example, which fits several
                (name,) = formats
                reject_mixed_formats(path, name, text_file)
                return name
            if not formats and first_unknown_file is None:
                first_unknown_file = text_file
        # the loop has found no file of a certain format: every text file fits no format, or several
        if first_unknown_file is not None:
            reject_mixed_formats(path, DOTA, first_unknown_file)
        if text_files:
            return DOTA
    try:
        paths = list_label_paths(path)
    except UserError:
        return DOTA  # the reader of DOTA labels reports what is missing
    return recognize_format(paths)


def read_source_labels(
    sources: Sequence[SourceImage],
    image_folder: str | Path,
    label_path: str | Path,
    format_name: str,
    classes: Sequence[str] | None,
    *,
    class_map: Mapping[str, str] | None = None,
    fit_polygons: bool = False,
    skip_other_images: bool = False,
    labeled_only: bool = False,
    class_column: str | None = None,
    class_name: str | None = None,
) -> list[Labels | None]:
    """Read the labels of the images of one folder.

    Args:
        sources: The images, with their label files if the format is ``dota``.
        image_folder: Folder of the images.
        label_path: Label folder or file.
        format_name: Format of the labels, as :func:`find_label_format` returns it.
        classes: Accepted class names, after ``class_map`` is applied; None accepts any name.
        class_map: New name by old name, as :func:`rotated_atss.label_formats.class_map.parse_class_map` returns it.
        fit_polygons: Replace polygons that do not have four corners by their minimum-area rectangles.
        skip_other_images: Ignore labels of images that are not in ``sources`` instead of raising an error.
        labeled_only: Return None for an image without labels instead of raising an error.
        class_column: Column with the class, for labels in map coordinates.
        class_name: Class of all objects, for labels in map coordinates.

    Returns:
        Labels per image, in the order of ``sources``. Spaces in class names are replaced by hyphens.

    Raises:
        UserError: A file is malformed, a class is unknown, or an image or its labels are missing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     source = SourceImage(Path(folder, "P1.png"), Path(folder, "P1.txt"), 0)
        ...     read_source_labels([source], folder, folder, "dota", None)[0].names
        ('ship',)
    """
    # With a class map, the names in the files cannot be checked yet, because `classes` are the names after renaming.
    classes_in_files = None if class_map is not None else classes
    if format_name == DOTA:
        # in this format, every image has a label file; only the type checker needs the condition
        paths = [source.label_path for source in sources if source.label_path is not None]
        dota_labels = [read_labels(path, classes_in_files) for path in paths]
        _warn_unused_names(class_map, (labels_of_image.names for labels_of_image in dota_labels), label_path)
        return [
            _map_classes(labels_of_image, class_map, classes, path)
            for labels_of_image, path in zip(dota_labels, paths, strict=True)
        ]
    label_set = read_label_set(
        label_path, format_name, images=ImageFiles(image_folder), classes=classes_in_files, fit_polygons=fit_polygons,
        class_column=class_column, class_name=class_name,
    )  # fmt: skip
    for note in label_set.notes:
        logger.warning("%s: %s", label_path, note)
    _warn_unused_names(class_map, (record.classes for record in label_set.images), label_path)
    records = _match_records(label_set.images, sources, image_folder, format_name, skip_other_images)
    for source in sources:
        if source.image_id not in records and not labeled_only:
            hint = f"in {image_folder}; --labeled-only leaves out such images"
            if Path(label_path).is_dir():
                hint += ", an empty label file makes the image background"
            raise UserError(f"no labels for the image {source.image.name}", where=label_path, hint=hint)
    records_or_none = [records.get(source.image_id) for source in sources]
    return [None if record is None else _to_labels(record, class_map, classes) for record in records_or_none]


def _match_records(
    records: Iterable[ImageLabels],
    sources: Sequence[SourceImage],
    image_folder: str | Path,
    format_name: str,
    skip_other_images: bool,
) -> dict[str, ImageLabels]:
    """Select the labels of the images in ``sources``, by image id.

    Raises:
        UserError: Labels have scores, or they belong to another image and ``skip_other_images`` is False.
    """
    image_ids = {source.image_id for source in sources}
    matched = {}
    for record in records:
        if record.image_id not in image_ids:
            if skip_other_images:
                continue
            hint = f"in {record.source}{_GEOJSON_HINT if format_name == 'geojson' else ''}"
            raise UserError(f"no image for the labels of {record.name}", where=image_folder, hint=hint)
        if record.scores is not None:
            hint = "give labels instead"
            raise UserError("the objects have scores: these are detections", where=record.source, hint=hint)
        matched[record.image_id] = record
    return matched


def _warn_unused_names(
    class_map: Mapping[str, str] | None, names_per_image: Iterable[Sequence[str]], label_path: str | Path
) -> None:
    """Log a warning if the class map renames classes that do not occur."""
    note = unused_names_note(class_map, {name for names in names_per_image for name in names})
    if note:
        logger.warning("%s: %s", label_path, note)


def _to_labels(record: ImageLabels, class_map: Mapping[str, str] | None, classes: Sequence[str] | None) -> Labels:
    """Convert the labels of an image to DOTA labels: rename or check the classes, and hyphenate their names."""
    if class_map is None and classes is not None:
        record = respell_classes(record, classes)
    # A class map refers to the names as they are in the files; _map_classes renames them and hyphenates the new names.
    names = tuple(map(hyphenate, record.classes)) if class_map is None else record.classes
    labels = Labels(record.polygons, names, record.difficult, record.lines)
    return _map_classes(labels, class_map, classes, record.source)


def _map_classes(
    labels: Labels, class_map: Mapping[str, str] | None, classes: Sequence[str] | None, path: Path
) -> Labels:
    """Rename the classes, remove objects whose new class name is empty, and check the new names.

    Without a class map, the labels are returned unchanged.
    """
    if class_map is None:
        return labels
    names = []
    for name, line in zip(labels.names, labels.line_numbers.tolist(), strict=True):
        where = f"{path}:{line}" if line else path  # the line number is 0 in label formats without lines
        new_name = hyphenate(map_class(name, class_map, where))
        if new_name and classes is not None and new_name not in classes:
            raise unknown_class_error(new_name, classes, where)
        names.append(new_name)
    keep = np.array([name != "" for name in names], dtype=bool)
    return Labels(
        labels.polygons[keep], tuple(filter(None, names)), labels.difficult[keep], labels.line_numbers[keep],
        labels.header,
    )  # fmt: skip
