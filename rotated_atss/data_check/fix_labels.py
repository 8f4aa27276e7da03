"""Write the cleaned copy of a dataset part that has label files. The labels are written as DOTA text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rotated_atss.data_check.dataset_checks import records_by_image
from rotated_atss.data_check.image_files import place_image
from rotated_atss.data_check.label_files import DOTA, correct_classes
from rotated_atss.data_check.objects import find_first_equal, have_zero_area, make_clockwise
from rotated_atss.data_check.parts import CheckedPart
from rotated_atss.dota.labels import format_labels
from rotated_atss.io.files import read_bytes, write_bytes
from rotated_atss.label_formats.records import ImageLabels


def clean_labels(record: ImageLabels, classes: Sequence[str] | None = None) -> ImageLabels:
    """Return labels without zero-area and duplicate objects, with clockwise corners and corrected class names.

    Args:
        record: Labels of an image.
        classes: Class names to which misspelled ones are corrected; None corrects none.

    Example:
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> objects = ObjectList()
        >>> for name in ("ship", "shp"):
        ...     objects.add([1, 2, 1, 8, 11, 8, 11, 2], name, where="P1.txt")
        >>> cleaned = clean_labels(objects.build("P1", Path("P1.txt")), ["ship"])
        >>> cleaned.classes, cleaned.polygons[0, :4].tolist()
        (('ship',), [1.0, 2.0, 11.0, 2.0])
    """
    names = correct_classes(record.classes, classes)
    class_numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    object_classes = np.array([class_numbers[name] for name in names], dtype=np.int64)
    first_equal = find_first_equal(record.polygons, object_classes)
    is_first = first_equal == np.arange(len(first_equal))  # an object that equals no earlier one is its own first equal
    keep = ~have_zero_area(record.polygons) & is_first
    return replace(
        record,
        polygons=make_clockwise(record.polygons[keep]),
        classes=tuple(name for name, is_kept in zip(names, keep.tolist(), strict=True) if is_kept),
        difficult=record.difficult[keep],
        lines=record.lines[keep] if len(record.lines) else record.lines,  # empty if no line numbers were set
    )


def write_label_part(
    part: CheckedPart,
    target: Path,
    changed_files: Collection[str],
    classes: Sequence[str] | None,
    *,
    copy_images: bool,
) -> Counter[str]:
    """Write the folder ``images/`` and, if the part has labels, the folder ``labelTxt/``.

    Unreadable images are left out. If the part has labels, images without labels are left out, too.

    Args:
        part: The checked part.
        target: Folder to write.
        changed_files: Label files with a problem that is fixed. Other files of DOTA text are copied byte for byte.
        classes: Class names to which misspelled ones are corrected; None corrects none.
        copy_images: Copy the images instead of linking to them.

    Returns:
        Numbers of ``images`` and ``objects``.

    Raises:
        UserError: A file cannot be written, or two images get the same name.
    """
    (target / "images").mkdir(parents=True)
    records = records_by_image(part)
    is_labeled = part.source.labels is not None
    if is_labeled:
        (target / "labelTxt").mkdir()
    counts: Counter[str] = Counter()
    for path, image in part.images.items():
        record = records.get(path.stem)
        if image.size is None or (is_labeled and record is None):
            continue
        place_image(image, target / "images" / f"{path.stem}{image.suffix}", copy=copy_images)
        counts["images"] += 1
        if record is not None:
            cleaned = clean_labels(record, classes)
            is_unchanged = part.format_name == DOTA and str(record.source) not in changed_files
            content = read_bytes(record.source) if is_unchanged else _to_dota_text(cleaned)
            write_bytes(target / "labelTxt" / f"{path.stem}.txt", content)
            counts["objects"] += len(cleaned)
    return counts


def _to_dota_text(record: ImageLabels) -> bytes:
    return format_labels(record.polygons, record.classes, record.difficult, header=record.header)
