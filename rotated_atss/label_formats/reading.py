"""Read a label folder or file in any format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotated_atss.dota.folders import list_files
from rotated_atss.errors import UserError
from rotated_atss.label_formats.class_list import NAMES_FILES
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.labelstudio import CONFIG_FILE
from rotated_atss.label_formats.recognize import check_format, possible_formats, recognize_format
from rotated_atss.label_formats.records import ImageLabels, LabelSet, ReadOptions, format_notes
from rotated_atss.label_formats.registry import FORMATS, get_format

AUTO = "auto"
_SUBFOLDERS = ("labels", "labelTxt", "Annotations")  # searched in this order if the folder itself has no label files
_NOT_LABELS = (*NAMES_FILES, CONFIG_FILE)  # files that have the suffix of a label format, but contain no labels


def list_label_paths(source: str | Path, format_name: str = AUTO) -> list[Path]:
    """List the label files of a folder. For a file, list only this file.

    Args:
        source: A file, a folder of label files, or a folder with the subfolder ``labels``, ``labelTxt`` or
            ``Annotations``.
        format_name: A format, or ``auto``. In a folder, only files with a suffix of the format are listed.

    Raises:
        UserError: ``source`` does not exist, or no label file is found.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("P1.txt", "classes.txt"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in list_label_paths(folder)]
        ['P1.txt']
    """
    source = Path(source)
    formats = FORMATS.values() if format_name == AUTO else [get_format(format_name)]
    suffixes = tuple(dict.fromkeys(suffix for label_format in formats for suffix in label_format.suffixes))
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError("no such file or folder", where=source)
    for folder in (source, *(source / name for name in _SUBFOLDERS)):
        files = list_files(folder, suffixes) if folder.is_dir() else []
        files = [path for path in files if path.name not in _NOT_LABELS]
        if files:
            return files
    if format_name != AUTO:
        reject_other_formats(source, format_name)
    raise UserError(f"no label files in this folder ({', '.join(suffixes)})", where=source)


def reject_other_formats(folder: str | Path, format_name: str) -> None:
    """Raise an error if a folder has label files, but none with a suffix of the given format.

    Raises:
        UserError: All label files have suffixes of other formats. The message names one of them.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.json").write_text('{"shapes": []}')
        ...     reject_other_formats(folder, "voc")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: ...: no label files of format voc (.xml), but P1.json was found (...)
    """
    suffixes = get_format(format_name).suffixes
    paths = _list_possible_labels(Path(folder))
    if paths and not any(path.suffix.lower() in suffixes for path in paths):
        what = f"no label files of format {format_name} ({', '.join(suffixes)}), but {paths[0].name} was found"
        raise UserError(what, where=folder, hint="pass the format of these files, or auto")


def reject_mixed_formats(folder: Path, format_name: str, text_path: Path) -> None:
    """Raise an error if a folder with labels in text files also contains JSON or XML labels of another format.

    Args:
        folder: The folder.
        format_name: Format of the text files, such as ``dota``.
        text_path: One of the text files, for the error.

    Raises:
        UserError: The folder contains label files of another format. JSON and XML files of unknown formats are ignored.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.json").write_text('{"shapes": []}')
        ...     reject_mixed_formats(Path(folder), "dota", Path("P1.txt"))
        Traceback (most recent call last):
        rotated_atss.errors.UserError: ...P1.json: this file is in the format labelme, but P1.txt is in ... dota (...)
    """
    for path in _list_possible_labels(folder):
        if path.suffix.lower() == ".txt":
            continue
        formats = possible_formats(path)
        if formats and format_name not in formats:
            # A file can fit several formats. They are a set, which has no fixed order, so the message names the first
            # one in alphabetical order.
            what = f"this file is in the format {min(formats)}, but {text_path.name} is in the format {format_name}"
            raise UserError(what, where=path, hint="put the formats into separate folders, or pass the format to read")


def _list_possible_labels(folder: Path) -> list[Path]:
    """List the files of a folder that have the suffix of any label format."""
    suffixes = tuple(dict.fromkeys(suffix for label_format in FORMATS.values() for suffix in label_format.suffixes))
    return [path for path in list_files(folder, suffixes) if path.name not in _NOT_LABELS]


def read_label_set(
    source: str | Path,
    format_name: str = AUTO,
    *,
    images: ImageFiles | None = None,
    classes: Sequence[str] | None = None,
    fit_polygons: bool = False,
    class_column: str | None = None,
    class_name: str | None = None,
) -> LabelSet:
    """Read labels or detections of any format from a file or folder.

    Args:
        source: A file or folder, as for :func:`list_label_paths`.
        format_name: A key of :data:`rotated_atss.label_formats.registry.FORMATS`, or ``auto``.
        images: Images, for formats that need their sizes or georeference.
        classes: Class names in index order, for formats that store class indices without names. If there is a
            ``data.yaml`` or ``classes.txt``, the names in this file are used instead.
        fit_polygons: Replace polygons that do not have exactly four corners with their minimum-area rectangles.
        class_column: For vector files in map coordinates: the attribute column with the class.
        class_name: For vector files in map coordinates: the class of all objects, instead of a column.

    Raises:
        UserError: A file is malformed or in another format, or an image occurs twice.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     label_set = read_label_set(folder)
        >>> label_set.format_name, label_set.images[0].classes
        ('dota', ('ship',))
    """
    paths = list_label_paths(source, format_name)
    if format_name == AUTO:
        format_name = recognize_format(paths)
    else:
        check_format(paths, format_name)
    options = ReadOptions(
        classes=None if classes is None else tuple(classes),
        fit_polygons=fit_polygons,
        class_column=class_column,
        class_name=class_name,
    )
    if images is not None:
        options.images, options.size_of = images, images.size
    records = get_format(format_name).read(paths, options)
    reject_duplicates(records)
    return LabelSet(format_name, tuple(records), tuple(options.class_order), format_notes(options.notes))


def reject_duplicates(records: Sequence[ImageLabels]) -> None:
    """Raise an error if two records have the same image id.

    Raises:
        UserError: Two records have the same image id. The message names both.

    Example:
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> reject_duplicates([ObjectList().build(name, Path("a.json")) for name in ("P1.png", "P1.jpg")])
        Traceback (most recent call last):
        rotated_atss.errors.UserError: a.json: the image P1 occurs twice, as P1.png and P1.jpg (...)
    """
    first_records: dict[str, ImageLabels] = {}
    for record in records:
        first = first_records.setdefault(record.image_id, record)
        if first is not record:
            hint = "rename one of the images; names are compared without folder and suffix"
            what = f"the image {record.image_id} occurs twice, as {first.name} and {record.name}"
            raise UserError(what, where=record.source, hint=hint)
