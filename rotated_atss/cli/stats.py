"""``rotated-atss stats``: statistics of a dataset, and the tiles and anchor scale that suit it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.cli.convert_labels import FORMAT_NAMES
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rotated_atss.analysis.dataset_objects import DatasetObjects
    from rotated_atss.analysis.tile_plan import TilePlan
    from rotated_atss.tiling.tile_counts import TileCounts

HELP = (
    "Print statistics of a dataset (classes, object sizes, aspect ratios, objects per image and per tile), and "
    "recommend a tile size, gap, rescaling rates and an anchor scale, each with its reason."
)
# anchor scale and maximum number of detections per image, as in the configs for oriented and for horizontal boxes
ORIENTED_SETTINGS, HORIZONTAL_SETTINGS = (4.0, 2000), (8.0, 100)
TILE_INPUT_WH, COCO_INPUT_WH = (1024, 1024), (1333, 800)  # input sizes of the configs, pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("dataset (one of --labels, --data and --coco-annotations)")
    data.add_argument("--images", metavar="DIR", help="folder of the images, for --labels")
    data.add_argument("--labels", metavar="DIR|FILE", help="folder or file of the labels of full images")
    data.add_argument(
        "--label-format", default="auto", choices=("auto", *FORMAT_NAMES), metavar="FORMAT",
        help="format of --labels: a format of convert-labels, or auto (default) to detect the format from the files",
    )  # fmt: skip
    data.add_argument("--data", metavar="TILES", help="folder of tiles written by split")
    data.add_argument("--coco-annotations", metavar="JSON", help="COCO instances JSON with horizontal boxes")
    add_classes_argument(data, "class names in index order, for labels with class indices", "those of the labels")
    parser.add_argument(
        "--input-size", type=int, nargs=2, metavar=("W", "H"),
        help="width and height to which the config resizes images; the recommended anchor scale depends on them "
        "(default: no resizing for --labels, 1024 1024 for --data, 1333 800 for --coco-annotations)",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the report to this file")
    parser.add_argument("--out", metavar="DIR", help="folder for dataset.png (plots) and classes.csv")
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: one per core)")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.analysis.dataset_report import report_dataset
    from rotated_atss.analysis.dataset_tables import format_dataset
    from rotated_atss.io.files import check_writable, reject_overlapping_output, write_json
    from rotated_atss.io.processes import available_cores
    from rotated_atss.io.status_line import terminal_width

    inputs = _check_arguments(args)
    for target in filter(None, (args.json, args.out)):
        reject_overlapping_output(target, inputs, may_contain_inputs=True)
    if args.json:
        check_writable(args.json)
    workers = args.workers or available_cores()
    objects = _read_objects(args, workers)
    # no tiles are recommended if the images are tiles already, or if training uses whole images
    needs_no_tiles = args.data or _is_coco_of_small_images(args, objects)
    tile_counter = None if needs_no_tiles else _make_tile_counter(objects, workers)
    anchor_scale, max_per_img = HORIZONTAL_SETTINGS if args.coco_annotations else ORIENTED_SETTINGS
    report = {
        "source": inputs,
        **report_dataset(
            objects,
            tile_counter,
            current=_current_plan(args.data),
            anchor_scale=anchor_scale,
            max_per_img=max_per_img,
            input_wh=_input_wh(args),
        ),
    }
    print(format_dataset(report, images_are_tiles=bool(args.data), width=terminal_width(sys.stdout)))
    if args.json:
        write_json(args.json, report)
    if args.out:
        _write_files(Path(args.out), report, inputs)
    return 0


def _check_arguments(args: argparse.Namespace) -> list[str]:
    """Check the arguments, and return the paths of the inputs."""
    given = [name for name in ("labels", "data", "coco_annotations") if getattr(args, name) is not None]
    if len(given) != 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in given) or "none"
        raise UserError(f"exactly one of --labels, --data and --coco-annotations is required, got {options}")
    if (args.images is None) != (args.labels is None):
        what = "--images and --labels must be given together"
        raise UserError(what, hint="the recommended tiles depend on the sizes of the images")
    if args.workers is not None and args.workers < 1:
        raise UserError(f"--workers must be at least 1, got {args.workers}")
    if args.input_size and min(args.input_size) < 1:
        raise UserError(f"--input-size must be positive, got {args.input_size[0]} {args.input_size[1]}")
    return [getattr(args, name) for name in ("images", *given) if getattr(args, name) is not None]


def _read_objects(args: argparse.Namespace, workers: int) -> DatasetObjects:
    from rotated_atss.analysis.dataset_reading import read_coco_objects, read_labeled_images
    from rotated_atss.dota.classes import resolve_classes

    if args.coco_annotations:
        return read_coco_objects(args.coco_annotations)
    classes = None if args.classes is None else resolve_classes(args.classes)
    if args.data:
        images, labels = (Path(args.data) / name for name in ("images", "labelTxt"))
        for folder in (images, labels):
            if not folder.is_dir():
                what = f"no folder {folder.name}"
                raise UserError(what, where=args.data, hint="give the output folder of split, or --images and --labels")
        return read_labeled_images(images, labels, "dota", classes=classes, workers=workers)
    return read_labeled_images(args.images, args.labels, args.label_format, classes=classes, workers=workers)


def _is_coco_of_small_images(args: argparse.Namespace, objects: DatasetObjects) -> bool:
    """Return whether training needs no tiles because this is a COCO dataset whose images each fit into one window."""
    from rotated_atss.analysis.tile_plan import TilePlan, fits_whole

    return args.coco_annotations is not None and fits_whole(objects.image_wh, TilePlan())


def _make_tile_counter(objects: DatasetObjects, workers: int) -> Callable[[TilePlan], TileCounts]:
    """Return a function that counts the tiles of the dataset, and the objects in them, for a given tile plan."""
    from rotated_atss.tiling.split_settings import SplitSettings
    from rotated_atss.tiling.tile_counts import count_tiles

    def count(plan: TilePlan) -> TileCounts:
        settings = SplitSettings(sizes=(plan.size,), gaps=(plan.gap,), rates=plan.rates)
        return count_tiles(objects.image_wh, objects.image_index, objects.polygons, settings, workers)

    return count


def _current_plan(data: str | None) -> TilePlan | None:
    """Return the window size and overlap recorded in the manifest of a folder of tiles; None if it records none."""
    from rotated_atss.analysis.tile_plan import TilePlan
    from rotated_atss.tiling.manifest import find_manifest

    window = find_manifest(data).window  # without a folder, the manifest is empty
    return TilePlan(*window) if window and window != (0, 0) else None  # (0, 0): whole images


def _input_wh(args: argparse.Namespace) -> tuple[int, int] | None:
    """Return the width and height in pixels to which the config resizes images; None without resizing."""
    if args.input_size:
        return args.input_size[0], args.input_size[1]
    if args.data:
        return TILE_INPUT_WH
    return COCO_INPUT_WH if args.coco_annotations else None


def _write_files(folder: Path, report: dict[str, Any], inputs: list[str]) -> None:
    from rotated_atss.analysis.dataset_plots import plot_dataset
    from rotated_atss.analysis.dataset_tables import classes_csv
    from rotated_atss.io.files import atomic_write

    atomic_write(folder / "classes.csv", classes_csv(report["classes"]))
    atomic_write(folder / "dataset.png", plot_dataset(report, ", ".join(inputs)))
    print(f"\nplots and table: {folder / 'dataset.png'}, {folder / 'classes.csv'}")
