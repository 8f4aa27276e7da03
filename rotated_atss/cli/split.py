"""``rotated-atss split``: split raw DOTA images and labels into tiles."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.cli._images import add_pixel_arguments, parse_pixel_options
from rotated_atss.cli._scheduler_option import add_scheduler_argument, make_cluster_paths_absolute
from rotated_atss.cli._shard_option import add_shard_argument, parse_shard
from rotated_atss.cli.convert_labels import FORMAT_NAMES, add_class_column_arguments
from rotated_atss.errors import UserError, count_of, printable
from rotated_atss.io.text_table import align_columns

if TYPE_CHECKING:
    from rotated_atss.tiling.presets import SplitPreset
    from rotated_atss.tiling.split import SplitResult

_MAX_LISTED = 5  # number of objects that a message lists

HELP = "Split raw images and labels into tiles: images/, labelTxt/ and manifest.json."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Options for ``SplitSettings`` that the user does not give are absent from the parsed arguments. They get the values
    of the preset; without a preset, the defaults of ``SplitSettings``.
    """
    _add_folders(parser)
    _add_windows(parser)
    _add_tiles(parser)
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: one per core)")
    add_shard_argument(parser, "split")
    add_scheduler_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.tiling.split import split_dota

    shard = parse_shard(args)
    options = _build_split_arguments(args)
    make_cluster_paths_absolute(args.scheduler, options, ["images", "labels", "image_lists"], ["out"])
    result = split_dota(
        **options,
        workers=args.workers,
        scheduler=args.scheduler,
        overwrite=args.overwrite,
        shard=shard,
        progress=False if args.quiet else None,
        on_start=None if args.quiet else _print_plan,
        on_continue=None if args.quiet else _print_continuation,
    )
    if result.was_finished:
        if not args.quiet:
            tiles = count_of(result.totals.tiles, "tile")
            print(f"{result.out}: this split is complete, {tiles}; nothing to do (--overwrite splits again)")
        return 0
    if not args.quiet:
        if result.class_counts:
            print(_format_class_table(result.class_counts))
        print(_format_summary(result, has_labels=options["labels"] is not None))
        if result.in_no_tile:
            print(f"in no tile: {printable(_format_first(result.in_no_tile))}")
        if result.unknown_classes:
            classes = printable(", ".join(result.unknown_classes))
            print(f"classes of no DOTA version: {classes} (--classes v1.0 would refuse them)")
    return 0


def _build_split_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Build the arguments of ``split_dota`` from the command line, completed by the preset if there is one."""
    from rotated_atss.label_formats.class_map import parse_class_map
    from rotated_atss.tiling.presets import load_preset
    from rotated_atss.tiling.split_settings import SplitSettings

    setting_names = [field.name for field in fields(SplitSettings)]
    settings = {name: getattr(args, name) for name in setting_names if hasattr(args, name)}
    # In settings, the pixel options (bits, scaling, bands) are still strings. They are replaced with parsed values, but
    # options that are not given are not added.
    pixel_options = asdict(parse_pixel_options(args))
    settings |= {name: value for name, value in pixel_options.items() if name in settings}
    options = {
        "images": args.images,
        "labels": args.labels,
        "out": args.out,
        "classes": args.classes,
        "label_format": args.label_format or "auto",
        "image_lists": args.image_list,
        "class_map": None if args.class_map is None else parse_class_map(args.class_map),
        "fit_polygons": args.fit_polygons,
        "labeled_only": args.labeled_only,
        "class_column": args.class_column,
        "class_name": args.class_name,
    }
    if args.preset is not None:
        return options | _merge_with_preset(load_preset(args.preset), args, options, settings)
    _require_folders(args)
    return options | {"settings": SplitSettings(**settings)}


def _merge_with_preset(
    preset: SplitPreset, args: argparse.Namespace, options: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options that a preset sets. Values on the command line take precedence.

    Args:
        preset: The preset.
        args: Parsed arguments.
        options: Arguments of ``split_dota`` from the command line.
        settings: Values of ``SplitSettings`` from the command line.
    """
    if "sizes" in settings and "gaps" not in settings:  # keep the preset's ratio of gap to size
        preset_size, preset_gap = preset.settings.sizes[0], preset.settings.gaps[0]
        settings = {**settings, "gaps": [size * preset_gap // preset_size for size in settings["sizes"]]}
    images, labels = preset.folders(args.data_root)
    return {
        "images": args.images or images,
        # the labels of the preset belong to its images, so other images do not use them
        "labels": args.labels if args.images or args.labels else labels,
        "out": args.out or preset.out,
        "settings": replace(preset.settings, **settings),
        "classes": args.classes or preset.classes,
        "label_format": args.label_format or ("auto" if args.labels else preset.label_format),
        "image_lists": args.image_list or (None if args.images else preset.image_list_paths(args.data_root)),
        "class_map": options["class_map"] or preset.class_map,
        "fit_polygons": args.fit_polygons or preset.fit_polygons,
        "labeled_only": args.labeled_only or preset.labeled_only,
    }


def _print_plan(num_images: int, num_windows: int) -> None:
    print(f"{count_of(num_images, 'image')}, {count_of(num_windows, 'window')}", flush=True)


def _print_continuation(num_finished: int, num_images: int) -> None:
    print(f"continuing: {num_finished} of {count_of(num_images, 'image')} done", flush=True)


def _format_class_table(classes: Mapping[str, tuple[int, int]]) -> str:
    """Format a table with one row per class: the number of objects in the images, and the number in the tiles."""
    rows = [
        ("class", "objects", "in tiles"),
        *((printable(name), *map(str, counts)) for name, counts in classes.items()),
    ]
    return "\n".join(align_columns(rows))


def _format_first(objects: Sequence[str]) -> str:
    """Join the first ``_MAX_LISTED`` objects for a message, followed by the number of objects that are not listed."""
    num_others = len(objects) - _MAX_LISTED
    return ", ".join(objects[:_MAX_LISTED]) + (f" and {num_others} more" if num_others > 0 else "")


def _format_summary(result: SplitResult, *, has_labels: bool) -> str:
    """Format the counts of a split as one line, with the counts of objects if the images have labels."""
    totals = result.totals
    phrases = [f"{count_of(totals.images, 'image')} -> {count_of(totals.tiles, 'tile')}"]
    if has_labels:
        phrases[0] += f" ({totals.empty_tiles} without objects)"
        phrases.append(
            f"{count_of(totals.objects_in_images, 'object')} -> {totals.objects_in_tiles} in tiles "
            f"({totals.truncated} truncated), {totals.in_no_tile} in no tile, {totals.without_area} without area"
        )
    phrases.append(f"{result.seconds:.1f} s")
    if result.unfinished:
        phrases.append(
            f"{count_of(result.unfinished, 'image')} left to other shards; the last shard completes {result.out}"
        )
    else:
        phrases.append(f"written to {result.out}")
    return "; ".join(phrases)


def _require_folders(args: argparse.Namespace) -> None:
    for name, value in (("--images", args.images), ("--out", args.out)):
        if not value:
            raise UserError(f"{name} is missing", hint=f"give {name} FOLDER, or a --preset")
    if args.data_root is not None:
        raise UserError("--data-root needs a --preset", hint="give --images and --labels instead")


def _add_folders(parser: argparse.ArgumentParser) -> None:
    folders = parser.add_argument_group("folders")
    folders.add_argument(
        "--preset", metavar="NAME",
        help="predefined settings, classes and folders of a dataset, such as dota_v1.0_ss_trainval (single scale), "
        "dota_v1.0_ms_test (multi-scale) or dior_r_test; other options take precedence",
    )  # fmt: skip
    folders.add_argument(
        "--data-root", metavar="FOLDER",
        help="with --preset: folder of the dataset; for DOTA, it contains {train,val,test}/{images,labelTxt} (default: "
        "the folder in the preset, such as data/DOTA)",
    )  # fmt: skip
    folders.add_argument("--images", action="extend", nargs="+", metavar="FOLDER", help="image folders; repeatable")
    folders.add_argument(
        "--labels", action="extend", nargs="+", metavar="FOLDER",
        help="for each folder of --images, in the same order: label folder (labelTxt) or label file, such as a "
        "GeoPackage in map coordinates; omit for a test set",
    )  # fmt: skip
    _add_label_reading(folders)
    folders.add_argument("--out", metavar="FOLDER", help="output folder, new or empty (default: the preset's)")
    folders.add_argument(
        "--overwrite", action="store_true",
        help="replace an earlier split in --out (default: an unfinished split with the same options is continued)",
    )  # fmt: skip


def _add_label_reading(folders: argparse._ArgumentGroup) -> None:
    """Add the options for the format of the labels, and for the selection of images, labels and classes."""
    folders.add_argument(
        "--label-format", choices=("auto", *FORMAT_NAMES), metavar="FORMAT",
        help="format of --labels: a format of convert-labels, or auto, which recognizes the format from the files "
        "(default: auto)",
    )  # fmt: skip
    folders.add_argument(
        "--image-list", action="extend", nargs="+", metavar="FILE",
        help="split only the images that these text files name, one per line; labels of other images are ignored",
    )  # fmt: skip
    folders.add_argument(
        "--labeled-only", action="store_true", help="skip images without labels (default: they are an error)"
    )
    add_classes_argument(
        folders,
        "class list of the labels",
        "the classes of the preset; without --preset, all classes are accepted",
        "Other classes are an error",
    )
    folders.add_argument(
        "--class-map", metavar="OLD=NEW,...",
        help="rename classes. OLD= drops a class; *=NEW renames all classes that are not listed; *=* keeps the "
        "names of these classes. Without *, a class that is not listed is an error. --classes lists the new names",
    )  # fmt: skip
    folders.add_argument(
        "--fit-polygons", action="store_true",
        help="replace polygons that do not have exactly four corners with their minimum-area rectangles (default: such "
        "polygons are errors)",
    )  # fmt: skip
    add_class_column_arguments(folders)


def _add_windows(parser: argparse.ArgumentParser) -> None:
    from rotated_atss.tiling.split_settings import SplitSettings

    defaults = SplitSettings()
    windows = parser.add_argument_group("windows", argument_default=argparse.SUPPRESS)
    windows.add_argument(
        "--size", dest="sizes", type=int, nargs="+", metavar="PX",
        help=f"side of the windows (default: {defaults.sizes[0]})",
    )  # fmt: skip
    windows.add_argument(
        "--gap", dest="gaps", type=int, nargs="+", metavar="PX",
        help="overlap of neighboring windows, one per size or one for all "
        f"(default: {defaults.gaps[0]}/{defaults.sizes[0]} of the size)",
    )  # fmt: skip
    windows.add_argument(
        "--rates", type=float, nargs="+", metavar="RATE",
        help=f"image scales, such as 0.5 1.0 1.5 (default: {defaults.rates[0]:g})",
    )  # fmt: skip
    windows.add_argument(
        "--name-style", metavar="STYLE",
        help="how rates are applied and tiles are named. mmrotate: a rate changes the size of the window, names are "
        "like P0001__1024__0___824. devkit: a rate resamples the image, names are like P0001__0.5__0___824 "
        f"(default: {defaults.name_style})",
    )  # fmt: skip
    windows.add_argument(
        "--iof-threshold", type=float, metavar="FRACTION",
        help="label an object in each tile that contains at least this fraction of its area "
        f"(default: {defaults.iof_threshold})",
    )  # fmt: skip
    windows.add_argument(
        "--whole-images", action="store_true",
        help="keep every image in one piece, for datasets of small images",
    )  # fmt: skip
    windows.add_argument(
        "--image-ratio", type=float, metavar="FRACTION",
        help="drop a window if the image fills at most this fraction of it; if all windows of an image would be "
        f"dropped, keep those with the largest filled fraction (default: {defaults.image_ratio})",
    )  # fmt: skip


def _add_tiles(parser: argparse.ArgumentParser) -> None:
    from rotated_atss.io.images import IMAGE_FORMATS
    from rotated_atss.tiling.split_settings import PADDING_BGR, SplitSettings

    tiles = parser.add_argument_group("tiles", argument_default=argparse.SUPPRESS)
    tiles.add_argument(
        "--padding", type=int, nargs=3, metavar=("B", "G", "R"),
        help=f"color of the padding outside the image (default: {' '.join(map(str, PADDING_BGR))})",
    )  # fmt: skip
    tiles.add_argument(
        "--no-padding", dest="padding", action="store_const", const=None, help="write smaller tiles at the image border"
    )
    tiles.add_argument(
        "--format", dest="image_format", metavar="FORMAT",
        help=f"image format of the tiles: {', '.join(IMAGE_FORMATS)} (default: {SplitSettings.image_format})",
    )  # fmt: skip
    add_pixel_arguments(tiles)
    tiles.add_argument("--drop-empty", dest="keep_empty", action="store_false", help="skip tiles without objects")
