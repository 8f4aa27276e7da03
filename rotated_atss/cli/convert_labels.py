"""``rotated-atss convert-labels``: convert labels and detections between formats."""

from __future__ import annotations

import argparse

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.errors import count_of

HELP = (
    "Convert labels or detections between DOTA text, YOLO-OBB, COCO, Pascal VOC and roLabelImg, labelme, CVAT, FAIR1M, "
    "DIOR-R, GeoJSON and Label Studio. SODA-A, UCAS-AOD and, for georeferenced images, GeoPackage, Shapefile and "
    "FlatGeobuf are only read, not written."
)
# WRITTEN_NAMES are the formats that can be both read and written; FORMAT_NAMES are all formats that can be read. The
# names are repeated from label_formats.registry, because an import of that module would slow down --help.
WRITTEN_NAMES = (
    "dota", "yolo-obb", "coco", "coco-rotated", "voc", "labelme", "cvat", "fair1m", "dior", "geojson", "labelstudio",
)  # fmt: skip
FORMAT_NAMES = (*WRITTEN_NAMES, "soda-a", "ucas-aod", "vector")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="folder of label files, or a single file (COCO, CVAT)")
    parser.add_argument("out", metavar="OUT", help="output folder, new or empty")
    parser.add_argument(
        "--from", dest="source_format", default="auto", choices=("auto", *FORMAT_NAMES), metavar="FORMAT",
        help="format of IN: one of the formats of --to, soda-a, ucas-aod, vector (GeoPackage, Shapefile, FlatGeobuf), "
        "or auto, which recognizes the format from the files (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--to", dest="target_format", required=True, choices=WRITTEN_NAMES, metavar="FORMAT",
        help=f"format of OUT: {', '.join(WRITTEN_NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--images", metavar="FOLDER", help="image folder, needed if IN lacks the sizes or file names of images"
    )
    add_classes_argument(
        parser,
        "class list of IN, in index order",
        "all classes, in the order of IN's class indices, or sorted if IN has no class indices",
        "Other classes are an error",
    )
    parser.add_argument(
        "--class-map", metavar="OLD=NEW,...",
        help="rename classes. OLD= drops a class; *=NEW renames all classes that are not listed; *=* keeps the "
        "names of these classes. Without *, a class that is not listed is an error",
    )  # fmt: skip
    parser.add_argument(
        "--fit-polygons", action="store_true",
        help="replace polygons that do not have exactly four corners with their minimum-area rectangles (default: such "
        "polygons are errors)",
    )  # fmt: skip
    add_class_column_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def add_class_column_arguments(parser: argparse._ActionsContainer) -> None:
    """Add ``--class-column`` and ``--class-name``, for labels in map coordinates."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--class-column", metavar="NAME",
        help="labels in map coordinates (GeoJSON, GeoPackage, Shapefile, FlatGeobuf): column with the class (default: "
        "the first of class, class_name, label, name, category, classification, type)",
    )  # fmt: skip
    group.add_argument("--class-name", metavar="CLASS", help="labels in map coordinates: class of all objects")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.dota.classes import resolve_classes
    from rotated_atss.label_formats.class_map import parse_class_map
    from rotated_atss.label_formats.convert import convert_labels

    result = convert_labels(
        args.source,
        args.out,
        args.target_format,
        source_format=args.source_format,
        images=args.images,
        classes=None if args.classes is None else resolve_classes(args.classes),
        class_map=None if args.class_map is None else parse_class_map(args.class_map),
        fit_polygons=args.fit_polygons,
        class_column=args.class_column,
        class_name=args.class_name,
    )
    if not args.quiet:
        for note in result.notes:
            print(note)
        print(
            f"{count_of(result.images, 'image')}, {count_of(result.objects, 'object')}, "
            f"{count_of(len(result.classes), 'class')}; "
            f"{result.source_format} -> {args.target_format}; written to {args.out}"
        )
    return 0
