"""Table of the label formats: their readers and writers, and what each format can store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.errors import UserError, quote
from rotated_atss.geo.polygon_files import GDAL_SUFFIXES
from rotated_atss.label_formats import (
    coco,
    cvat,
    dior,
    dota,
    fair1m,
    geojson,
    labelme,
    labelstudio,
    soda_a,
    ucas_aod,
    vector,
    voc,
    yolo_obb,
)
from rotated_atss.label_formats.records import ImageLabels, ReadOptions


@dataclass(frozen=True)
class LabelFormat:
    """A label format.

    Attributes:
        name: Name on the command line.
        suffixes: Suffixes of label files.
        read: Function that reads files into records.
        write: Function that writes records with the given class names into an empty folder; None for a read-only
            format.
        needs_size: Whether the size of every image must be known for writing.
        stores_file_names: Whether the format stores the file names of the images.
        rectangles_only: Whether the format can store only rectangles.
        max_difficult: Largest difficult flag that the format can store. Formats without a flag have 0.
        stores_scores: Whether the format can store scores.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Sequence[Path], ReadOptions], list[ImageLabels]]
    write: Callable[[Sequence[ImageLabels], Sequence[str], Path], None] | None
    needs_size: bool = False
    stores_file_names: bool = True
    rectangles_only: bool = False
    max_difficult: int = 2
    stores_scores: bool = True


FORMATS: dict[str, LabelFormat] = {
    label_format.name: label_format
    for label_format in (
        LabelFormat("dota", (".txt",), dota.read, dota.write, stores_file_names=False),
        LabelFormat(
            "yolo-obb", (".txt",), yolo_obb.read, yolo_obb.write, needs_size=True, stores_file_names=False,
            max_difficult=0,
        ),
        LabelFormat("coco", (".json",), coco.read, coco.write, needs_size=True),
        LabelFormat(
            "coco-rotated", (".json",), coco.read_rotated, coco.write_rotated, needs_size=True,
            rectangles_only=True,
        ),
        LabelFormat(
            "voc", (".xml",), voc.read, voc.write, rectangles_only=True, max_difficult=1, stores_scores=False
        ),
        LabelFormat("labelme", (".json",), labelme.read, labelme.write, needs_size=True, max_difficult=1),
        LabelFormat("cvat", (".xml",), cvat.read, cvat.write, needs_size=True, stores_scores=False),
        LabelFormat("fair1m", (".xml",), fair1m.read, fair1m.write, max_difficult=0),
        LabelFormat("dior", (".xml",), dior.read, dior.write, max_difficult=1, stores_scores=False),
        LabelFormat("geojson", (".geojson", ".json"), geojson.read, geojson.write),
        LabelFormat(
            "labelstudio", (".json",), labelstudio.read, labelstudio.write, needs_size=True, max_difficult=0
        ),
        LabelFormat("soda-a", (".json",), soda_a.read, None),
        LabelFormat("ucas-aod", (".txt",), ucas_aod.read, None),
        LabelFormat("vector", GDAL_SUFFIXES, vector.read, None),
    )
}  # fmt: skip
"""Formats by name. A file that fits several formats is read as the first of them."""

WRITTEN = tuple(name for name, label_format in FORMATS.items() if label_format.write is not None)
"""Names of the formats that can be written."""


def get_format(name: str) -> LabelFormat:
    """Return a format by its name.

    Raises:
        UserError: There is no such format.

    Example:
        >>> get_format("yolo-obb").needs_size
        True
    """
    if name not in FORMATS:
        raise UserError(f"unknown label format {quote(name)}", hint=f"choose from {', '.join(FORMATS)}")
    return FORMATS[name]
