"""Reading of a label folder or file in any format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotated_atss.dota.folders import list_files
from rotated_atss.errors import UserError
from rotated_atss.label_formats.class_list import NAMES_FILES
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.labelstudio import CONFIG_FILE
from rotated_atss.label_formats.recognize import check_format, recognize_format
from rotated_atss.label_formats.records import ImageLabels, LabelSet, ReadOptions
from rotated_atss.label_formats.registry import FORMATS, get_format

AUTO = "auto"
_SUBFOLDERS = ("labels", "labelTxt", "Annotations")
_NO_LABELS = (*NAMES_FILES, CONFIG_FILE)


def list_label_paths(source: str | Path, format_name: str = AUTO) -> list[Path]:
    """List the label files of a folder, or the file itself.

    Args:
        source: A file, a folder of label files, or a folder with the subfolder ``labels``, ``labelTxt`` or
            ``Annotations``.
        format_name: A format, whose suffixes are listed, or ``auto``.

    Raises:
        UserError: ``source`` is missing, or no label file is found.

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
    suffixes = tuple(dict.fromkeys(suffix for each in formats for suffix in each.suffixes))
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError("no such file or folder", where=source)
    for folder in (source, *(source / name for name in _SUBFOLDERS)):
        files = list_files(folder, suffixes) if folder.is_dir() else []
        files = [path for path in files if path.name not in _NO_LABELS]
        if files:
            return files
    raise UserError(f"no label files in this folder ({', '.join(suffixes)})", where=source)


def read_label_set(
    source: str | Path,
    format_name: str = AUTO,
    *,
    images: ImageFiles | None = None,
    classes: Sequence[str] | None = None,
    fit_polygons: bool = False,
) -> LabelSet:
    """Read labels or detections.

    Args:
        source: A file or folder, as for :func:`list_label_paths`.
        format_name: A key of :data:`rotated_atss.label_formats.registry.FORMATS`, or ``auto``.
        images: Images, for formats that need their sizes.
        classes: Class names in index order, for formats that store class indices; None reads them from
            ``data.yaml`` or ``classes.txt``.
        fit_polygons: Replace polygons that do not have exactly four corners with their minimum-area rectangles.

    Raises:
        UserError: A file is malformed or has another format, or an image occurs twice.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     labels = read_label_set(folder)
        >>> labels.format_name, labels.images[0].classes
        ('dota', ('ship',))
    """
    paths = list_label_paths(source, format_name)
    if format_name == AUTO:
        format_name = recognize_format(paths)
    else:
        check_format(paths, format_name)
    options = ReadOptions(classes=None if classes is None else tuple(classes), fit_polygons=fit_polygons)
    if images is not None:
        options.size_of = images.size
    records = get_format(format_name).read(paths, options)
    _reject_duplicates(records)
    return LabelSet(format_name, tuple(records), tuple(options.class_order), options.note_lines())


def _reject_duplicates(records: Sequence[ImageLabels]) -> None:
    first: dict[str, ImageLabels] = {}
    for record in records:
        other = first.setdefault(record.image_id, record)
        if other is not record:
            hint = "rename one of the images; names are compared without folder and suffix"
            what = f"the image {record.image_id} occurs twice, as {other.name} and {record.name}"
            raise UserError(what, where=record.source, hint=hint)
