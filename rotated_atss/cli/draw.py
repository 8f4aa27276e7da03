"""``rotated-atss draw``: labels and detections on images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rotated_atss.cli._images import (
    add_picture_arguments,
    check_picture_arguments,
    check_targets,
    class_filter,
    each_image,
    find_images,
    write_picture,
)
from rotated_atss.cli._layers import Source, coco_labels, dota_labels, task1_detections
from rotated_atss.errors import UserError

HELP = (
    "Draw labels, detections or both on images: OUT/<image>.png, never in a folder that is read. Labels alone have "
    "their classes' colours; beneath detections they are white and have no captions."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", required=True, metavar="DIR|FILE", help="a folder of images, or one image")
    what = parser.add_argument_group("what is drawn (one or more)")
    what.add_argument("--labels", metavar="DIR", help="DOTA's label files (labelTxt)")
    what.add_argument("--coco", metavar="FILE", help="labels as COCO's instances JSON")
    what.add_argument("--detections", metavar="DIR", help="Task1_<class>.txt, as predict, merge and test write them")
    parser.add_argument("--classes", metavar="NAMES", help="these alone: names with commas, or v1.0, v1.5, v2.0")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    add_picture_arguments(parser)


def run(args: argparse.Namespace) -> int:
    check_picture_arguments(args)
    paths = find_images(args.images)
    _check_targets(args, paths)
    labels, detections = _sources(args, paths)
    failures = each_image(paths, lambda path: _draw(path, labels, detections, args), "draw")
    print(f"{len(paths) - len(failures)} pictures written to {args.out}")
    if failures:
        print(f"{len(failures)} of {len(paths)} images failed")
    return 2 if failures else 0


def _check_targets(args: argparse.Namespace, paths: Sequence[Path]) -> None:
    from rotated_atss.io.files import check_output_apart
    from rotated_atss.visualization.png_output import check_overwritable

    check_targets([args.out], args.images)
    check_output_apart(Path(args.out), [Path(folder) for folder in (args.labels, args.detections) if folder])
    for path in paths:
        check_overwritable(_target(args, path))


def _target(args: argparse.Namespace, image: Path) -> Path:
    return Path(args.out) / f"{image.stem}.png"


def _sources(args: argparse.Namespace, paths: Sequence[Path]) -> tuple[list[Source], list[Source]]:
    """Where labels and where detections come from, read and checked as far as can be without the images."""
    labels = [] if args.labels is None else [dota_labels(args.labels, paths)]
    labels += [] if args.coco is None else [coco_labels(args.coco, paths)]
    detections = [] if args.detections is None else [task1_detections(args.detections, paths)]
    if not labels + detections:
        raise UserError("nothing to draw", hint="give --labels, --coco or --detections")
    return _chosen(labels, detections, args.classes)


def _chosen(labels: list[Source], detections: list[Source], spec: str | None) -> tuple[list[Source], list[Source]]:
    if spec is None:
        return labels, detections
    wanted = class_filter(spec, tuple(dict.fromkeys(name for each in labels + detections for name in each.classes)))
    return [each.of(wanted) for each in labels], [each.of(wanted) for each in detections]


def _draw(path: Path, labels: Sequence[Source], detections: Sequence[Source], args: argparse.Namespace) -> None:
    from rotated_atss.io.images import read_image

    image = read_image(path)
    layers = [replace(source.layer(path), plain=bool(detections)) for source in labels]
    write_picture(_target(args, path), image, [*layers, *(source.layer(path) for source in detections)], args)
