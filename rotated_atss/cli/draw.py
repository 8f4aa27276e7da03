"""``rotated-atss draw``: draw labels and detections on images."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from rotated_atss.cli._classes_option import add_classes_argument, select_classes
from rotated_atss.cli._crop_option import (
    add_crop_arguments,
    check_crop_arguments,
    crop_layer,
    find_window,
    is_cropped,
    window_path,
)
from rotated_atss.cli._images import (
    add_pixel_arguments,
    check_output_folders,
    find_images,
    parse_pixel_options,
    print_failures,
    print_skipped_images,
    process_images,
    resolve_pixel_options,
)
from rotated_atss.cli._layer_sources import (
    LayerSource,
    add_crowd_styles,
    read_coco_labels,
    read_dota_labels,
    read_task1_detections,
    select_boxes,
)
from rotated_atss.cli._pictures import (
    MAX_PICTURE_PIXELS,
    add_picture_arguments,
    check_picture_arguments,
    picture_path,
    write_picture,
)
from rotated_atss.errors import UserError, count_of

HELP = (
    "Draw labels, detections or both on images and write OUT/<image>.png. Boxes have the colors of their classes; if "
    "detections are drawn too, labels are white and have no captions. An output folder that is also an input is "
    "refused."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", required=True, metavar="DIR|FILE", help="folder of images, or one image")
    boxes = parser.add_argument_group("box sources (at least one)")
    boxes.add_argument("--labels", metavar="DIR", help="folder of DOTA label files (labelTxt)")
    boxes.add_argument("--coco", metavar="JSON", help="labels in a COCO instances JSON")
    boxes.add_argument(
        "--detections", metavar="DIR", help="folder of Task1_<class>.txt files written by predict, merge or test"
    )
    add_classes_argument(parser, "classes to draw", "all")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    add_crop_arguments(parser)
    parser.add_argument(
        "--mark-front",
        action="store_true",
        help="draw the first edge of each box, which is the front of the object in DOTA's corner order, in white",
    )
    add_picture_arguments(parser)
    add_pixel_arguments(parser)


def run(args: argparse.Namespace) -> int:
    check_picture_arguments(args)
    paths = find_images(args.images)
    check_crop_arguments(args, paths, MAX_PICTURE_PIXELS)
    _check_outputs(args, paths)
    label_sources, detection_sources = _read_sources(args, paths)
    known_classes = [name for source in label_sources + detection_sources for name in source.classes]
    classes = None if args.classes is None else select_classes(args.classes, known_classes)
    print_skipped_images(args.images)
    if Path(args.images).is_dir():
        _print_missing_images(detection_sources, paths, args.images)
    args.pixels = resolve_pixel_options(paths, parse_pixel_options(args))

    def process(path: Path) -> None:
        _draw_image(path, label_sources, detection_sources, classes, args)

    failures = process_images(paths, process, "draw")
    print(f"{count_of(len(paths) - len(failures), 'picture')} written to {args.out}")
    return print_failures(len(failures), paths)


def _check_outputs(args: argparse.Namespace, paths: Sequence[Path]) -> None:
    from rotated_atss.io.files import reject_overlapping_output
    from rotated_atss.visualization.png_output import check_overwritable

    check_output_folders([args.out], args.images)
    reject_overlapping_output(args.out, [folder for folder in (args.labels, args.detections) if folder])
    # The name of a cropped picture contains the region, which is known only after the image has been opened.
    if not is_cropped(args):
        for path in paths:
            check_overwritable(picture_path(args.out, path))


def _read_sources(args: argparse.Namespace, paths: Sequence[Path]) -> tuple[list[LayerSource], list[LayerSource]]:
    """Return the sources of the labels and the sources of the detections."""
    labels = [] if args.labels is None else [read_dota_labels(args.labels, paths)]
    labels += [] if args.coco is None else [read_coco_labels(args.coco, paths)]
    detections = [] if args.detections is None else [read_task1_detections(args.detections, paths)]
    if not labels + detections:
        raise UserError("nothing to draw", hint="give --labels, --coco or --detections")
    return labels, detections


def _print_missing_images(sources: Sequence[LayerSource], paths: Sequence[Path], folder: str) -> None:
    """If some images with detections are missing in the folder, print how many of the images it contains."""
    ids = {image_id for source in sources for image_id in source.image_ids}
    num_found = len(ids & {path.stem for path in paths})
    if num_found < len(ids):
        images = count_of(len(ids), "image")
        print(f"{num_found} of {images} with detections found in {folder}; the others have no picture")


def _draw_image(
    path: Path,
    label_sources: Sequence[LayerSource],
    detection_sources: Sequence[LayerSource],
    classes: Collection[str] | None,
    args: argparse.Namespace,
) -> None:
    from rotated_atss.io.image_reader import open_image
    from rotated_atss.visualization.palettes import class_styles

    # Plain labels are white. Labels are plain only if they must be distinguished from detections.
    draw_plain_labels = bool(detection_sources)
    layers = [replace(source.get_layer(path), plain=draw_plain_labels) for source in label_sources]
    layers += [source.get_layer(path) for source in detection_sources]
    sources = (*label_sources, *detection_sources)
    styles = class_styles((name for source in sources for name in source.present_classes), args.palette)
    layers = [replace(layer, styles=add_crowd_styles(styles)) for layer in layers]
    with open_image(path, args.pixels) as image:
        # The window is found before the classes are selected, because --object counts the boxes of all classes.
        window = find_window(args, (image.width, image.height), layers, MAX_PICTURE_PIXELS)
        if classes is not None:
            layers = [select_boxes(layer, classes) for layer in layers]
        if window is not None:
            layers = [crop_layer(layer, window) for layer in layers]
        write_picture(window_path(picture_path(args.out, path), window), image, layers, args, window)
