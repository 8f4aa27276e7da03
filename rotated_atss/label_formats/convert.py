"""Convert labels and detections between formats. If an error occurs, nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rotated_atss.dota.classes import hyphenate, unknown_class_error
from rotated_atss.errors import UserError
from rotated_atss.geo.crs import is_on_earth
from rotated_atss.geo.polygon_layer import Note
from rotated_atss.io.files import reject_overlapping_output
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.image_reader import find_georeference
from rotated_atss.io.output_folders import staged_folder
from rotated_atss.label_formats.class_map import OTHERS, map_class, unused_names_note
from rotated_atss.label_formats.geometry import RECTANGLE_TOLERANCE_PX, polygons_to_boxes
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.reading import AUTO, read_label_set
from rotated_atss.label_formats.records import ImageLabels, LabelSet, format_notes
from rotated_atss.label_formats.registry import WRITTEN, LabelFormat, get_format
from rotated_atss.label_formats.yolo_obb import clip_to_image

_DEFAULT_SUFFIX = ".png"  # This suffix is written if the name of an image file is not known.


@dataclass(frozen=True)
class ConvertResult:
    """Result of a conversion.

    Attributes:
        source_format: Format that was read.
        images: Number of images.
        objects: Number of objects written.
        classes: Class names of the output, in index order.
        notes: Notes, one line each, about what was dropped or changed.
    """

    source_format: str
    images: int
    objects: int
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def convert_labels(
    source: str | Path,
    out: str | Path,
    target_format: str,
    *,
    source_format: str = AUTO,
    images: str | Path | None = None,
    classes: Sequence[str] | None = None,
    class_map: Mapping[str, str] | None = None,
    fit_polygons: bool = False,
    class_column: str | None = None,
    class_name: str | None = None,
) -> ConvertResult:
    """Convert labels or detections to another format.

    Args:
        source: A file, or a folder of label files.
        out: A new or empty folder.
        target_format: One of :data:`rotated_atss.label_formats.registry.WRITTEN`.
        source_format: A key of :data:`rotated_atss.label_formats.registry.FORMATS`, or ``auto``.
        images: Folder of the images. Their sizes and file names are used if the source does not contain them.
        classes: Class names of the source in index order. Any other class is an error. None accepts all classes; they
            are ordered by their indices in the source, or by name if the source has no class indices.
        class_map: New name by old name, as :func:`rotated_atss.label_formats.class_map.parse_class_map` returns it.
        fit_polygons: Replace polygons that do not have exactly four corners with their minimum-area rectangles.
        class_column: The attribute column that contains the class, for vector files in map coordinates.
        class_name: The class of all objects, for vector files in map coordinates that have no such column.

    Raises:
        UserError: An input is invalid, a class is not in ``classes`` or ``class_map``, an image size is needed but not
            known, or an image size in the labels differs from the size of the image file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 1")
        ...     result = convert_labels(f"{folder}/P1.txt", f"{folder}/out", "fair1m")
        ...     [path.name for path in Path(folder, "out").iterdir()]
        ['P1.xml']
        >>> for note in result.notes:
        ...     print(note)
        1 image file name not known: written with .png (use --images to read file names)
        1 difficult flag: left out
    """
    target = get_format(target_format)
    if target.write is None:
        raise UserError(f"the format {target.name} cannot be written", hint=f"choose from {', '.join(WRITTEN)}")
    reject_overlapping_output(out, [source] if images is None else [source, images], may_contain_inputs=False)
    image_files = None if images is None else ImageFiles(images)
    label_set = read_label_set(
        source, source_format, images=image_files, classes=classes, fit_polygons=fit_polygons,
        class_column=class_column, class_name=class_name,
    )  # fmt: skip
    notes: Counter[Note] = Counter()  # number of occurrences by note, such as ("score", ": left out")
    source_records = list(label_set.images)  # A record contains the labels of one image.
    if classes is not None:
        # The readers use ``classes`` only to look up class indices and to recognize names that contain spaces. Unknown
        # names are rejected here.
        source_records = [respell_classes(record, classes) for record in source_records]
    source_classes = {name for record in source_records for name in record.classes}
    records = [_rename(record, class_map, notes) for record in source_records]
    out_classes = _order_classes(label_set, records, classes, class_map)
    records = [_add_size_and_name(record, target, image_files, notes) for record in records]
    if target.name == "dota":
        records, out_classes = _hyphenate(records, out_classes, notes)
    _note_losses(records, target, notes)
    with staged_folder(out) as folder:
        target.write(records, out_classes, folder)
    all_notes = [*label_set.notes, *format_notes(notes)]
    unused_note = unused_names_note(class_map, source_classes)
    if unused_note:
        all_notes.append(unused_note)
    return ConvertResult(
        source_format=label_set.format_name,
        images=len(records),
        objects=sum(map(len, records)),
        classes=tuple(out_classes),
        notes=tuple(all_notes),
    )


def respell_classes(record: ImageLabels, classes: Sequence[str]) -> ImageLabels:
    """Return a record with its class names spelled as in ``classes``.

    Spaces and hyphens count as equal. If no name in ``classes`` matches, the names are compared without regard to case.

    Raises:
        UserError: A class is not in ``classes``. The message contains ``path:line``, or only the path if the format has
            no lines.

    Example:
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> objects = ObjectList()
        >>> objects.add([1, 2, 11, 2, 11, 8, 1, 8], "Small Car", where="P1.xml:3", line=3)
        >>> respell_classes(objects.build("P1", Path("P1.xml")), ["Small-Car"]).classes
        ('Small-Car',)
    """
    spellings = {hyphenate(name).casefold(): name for name in classes}
    # Exact spellings overwrite lower-case spellings, so that classes that differ only in case remain distinct.
    spellings |= {hyphenate(name): name for name in classes}
    respelled = []
    for row, name in enumerate(record.classes):
        spelling = spellings.get(hyphenate(name)) or spellings.get(hyphenate(name).casefold())
        if spelling is None:
            raise unknown_class_error(name, classes, where_of(record, row))
        respelled.append(spelling)
    return replace(record, classes=tuple(respelled))


def where_of(record: ImageLabels, row: int) -> str:
    """Return the position of an object in its label file: ``path:line``, or the path if the format has no lines.

    Args:
        record: The labels of an image.
        row: Index of the object: the row of its values in the arrays of the record.

    Example:
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> objects = ObjectList()
        >>> objects.add([1, 2, 11, 2, 11, 8, 1, 8], "ship", where="P1.xml:3", line=3)
        >>> where_of(objects.build("P1", Path("P1.xml")), 0)
        'P1.xml:3'
    """
    return f"{record.source}:{record.lines[row]}" if record.lines[row] else str(record.source)


def _rename(record: ImageLabels, class_map: Mapping[str, str] | None, notes: Counter[Note]) -> ImageLabels:
    """Rename the classes of a record, and drop the objects of classes that the class map drops."""
    if class_map is None:
        return record
    new_names = [map_class(name, class_map, where_of(record, row)) for row, name in enumerate(record.classes)]
    keep = np.array([bool(name) for name in new_names], dtype=bool)  # map_class returns "" for a dropped class
    if not keep.all():
        notes["object", " of classes that the class map drops"] += int((~keep).sum())
    return replace(
        record,
        polygons=record.polygons[keep],
        classes=tuple(name for name in new_names if name),
        difficult=record.difficult[keep],
        scores=None if record.scores is None else record.scores[keep],
        lines=record.lines[keep],
    )


def _order_classes(
    label_set: LabelSet,
    records: Sequence[ImageLabels],
    classes: Sequence[str] | None,
    class_map: Mapping[str, str] | None,
) -> list[str]:
    """Return the classes of the output: first those with an index in the source, in this order, then others by name."""
    ordered = list(classes or label_set.classes)
    if class_map is not None:
        # If the map has no rule for all other classes ("*"), drop the classes that it does not list. They have no
        # objects, because _rename raises an error for an object of such a class.
        map_or_drop = {OTHERS: "", **class_map}
        renamed = [map_class(name, map_or_drop, "") for name in ordered]
        ordered = [name for name in renamed if name]
    object_classes = {name for record in records for name in record.classes}
    return [*dict.fromkeys(ordered), *sorted(object_classes - set(ordered))]


def _add_size_and_name(
    record: ImageLabels, target: LabelFormat, image_files: ImageFiles | None, notes: Counter[Note]
) -> ImageLabels:
    """Return a record with the image size, file name and georeference that the target format needs."""
    name, size = record.name, record.size
    if image_files is not None:
        path = image_files.path(record.image_id, record.source)
        actual_size = image_files.size(record.image_id)
        if size is not None and size != actual_size:
            what = f"the size in the labels is {_size_text(size)}, but the image is {_size_text(actual_size)}"
            hint = "check that the labels were made on this version of the image"
            raise UserError(what, where=f"{record.source}: {record.name}", hint=hint)
        size = actual_size
        if name == record.image_id:  # the source contains no file name
            name = path.name
    if size is None and target.needs_size:
        hint = "pass the folder of the images with --images"
        what = f"{target.name} needs the size of the image {record.image_id}, which is not known"
        raise UserError(what, where=record.source, hint=hint)
    if target.stores_file_names and name == record.image_id:
        name += _DEFAULT_SUFFIX
        notes["image file name", f" not known: written with {_DEFAULT_SUFFIX} (use --images to read file names)"] += 1
    georeference = None
    if image_files is not None and target.name == "geojson":  # the only format written in map coordinates
        georeference = _lon_lat_georeference(image_files.path(record.image_id, record.source))
    if georeference is not None:
        notes["image", " georeferenced: written in longitude and latitude"] += 1
    return replace(record, name=name, size=size, georeference=georeference)


def _lon_lat_georeference(path: Path) -> Georeference | None:
    """Return the georeference of an image if its CRS can be converted to longitude and latitude, else None."""
    georeference = find_georeference(path)
    return georeference if georeference is not None and is_on_earth(georeference.crs) else None


def _hyphenate(
    records: Sequence[ImageLabels], classes: Sequence[str], notes: Counter[Note]
) -> tuple[list[ImageLabels], list[str]]:
    """Replace the spaces in class names with hyphens, because DOTA label files separate fields by spaces."""
    spaced = [name for name in classes if name != hyphenate(name)]
    if not spaced:
        return list(records), list(classes)
    new_names = [hyphenate(name) for name in classes]
    if len(set(new_names)) < len(new_names):
        name = next(name for name in spaced if new_names.count(hyphenate(name)) > 1)
        hint = "rename one of them with --class-map"
        raise UserError(f"the class '{name}' becomes {hyphenate(name)}, which already exists", hint=hint)
    notes["class name", f" with spaces: written with hyphens ({spaced[0]} as {hyphenate(spaced[0])})"] += len(spaced)
    renamed = [replace(record, classes=tuple(map(hyphenate, record.classes))) for record in records]
    return renamed, new_names


def _note_losses(records: Sequence[ImageLabels], target: LabelFormat, notes: Counter[Note]) -> None:
    """Add notes about data that the target format cannot store, or can store only in a modified form."""
    has_scores = any(record.scores is not None for record in records)
    max_shift = 0.0
    if target.rectangles_only:
        max_shift = max((_largest_shift(record) for record in records), default=0.0)
    for record in records:
        _note_record_losses(record, target, notes, has_scores=has_scores, max_shift=max_shift)


def _note_record_losses(
    record: ImageLabels, target: LabelFormat, notes: Counter[Note], *, has_scores: bool, max_shift: float
) -> None:
    """Add notes about data of one record that the target format cannot store, or can store only in a modified form.

    Args:
        record: The record.
        target: The target format.
        notes: Notes of all records. The notes of this record are added.
        has_scores: Whether any record has scores.
        max_shift: Largest shift of a corner over all records, pixels. It is a part of the text of a note, and notes are
            counted by their text. Therefore, it must be the same for all records.
    """

    def add_note(noun: str, text: str, count: int) -> None:
        if count:
            notes[noun, text] += count

    writes_task1 = target.name == "dota" and has_scores  # detections are written as Task1 files
    if target.max_difficult == 0 or writes_task1:
        add_note("difficult flag", ": left out", int((record.difficult > 0).sum()))
    elif target.max_difficult == 1:
        add_note("object", " with difficult 2 (truncated): written as 1", int((record.difficult > 1).sum()))
    if writes_task1:
        add_note("image", " without detections: in no Task1 file", int(len(record) == 0))
    if not target.stores_scores and record.scores is not None:
        add_note("score", ": left out", len(record))
    if target.name != "dota" or writes_task1:
        add_note("header line", " (imagesource, gsd): left out", len(record.header))
    if target.name == "yolo-obb":
        outside = (clip_to_image(record) != record.polygons).any(axis=1)
        add_note("object", " reaching outside the image: corners moved to its border", int(outside.sum()))
    if target.rectangles_only:
        fitted = polygons_to_boxes(record.polygons)
        add_note(
            "quadrilateral",
            f" other than a rectangle: minimum-area rectangle written (largest shift {max_shift:.2f} px)",
            int((fitted.shifts > RECTANGLE_TOLERANCE_PX).sum()),
        )
        add_note("object", " with counterclockwise corners: written clockwise", int(fitted.is_counterclockwise.sum()))


def _largest_shift(record: ImageLabels) -> float:
    """Return the largest distance in pixels by which a corner moves when quadrilaterals are converted to rectangles."""
    return float(polygons_to_boxes(record.polygons).shifts.max(initial=0))


def _size_text(size: tuple[int, int] | None) -> str:
    return "unknown" if size is None else f"{size[0]} x {size[1]}"
