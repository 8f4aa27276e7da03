"""``rotated-atss split``: raw DOTA images and labels into tiles."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rotated_atss.tiling.split import SplitResult

HELP = "Cut raw DOTA images and labels into tiles: images/, labelTxt/ and manifest.json."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``split``."""
    _add_folders(parser)
    _add_windows(parser)
    _add_tiles(parser)


def run(args: argparse.Namespace) -> int:
    """Split, and print what was written."""
    from rotated_atss.tiling.split import split_dota

    result = split_dota(
        args.images,
        args.labels,
        args.out,
        size=args.size,
        gap=args.gap,
        rates=args.rates,
        iof_threshold=args.iof_threshold,
        image_ratio=args.image_ratio,
        padding=None if args.no_padding else args.padding,
        name_style=args.name_style,
        image_format=args.format,
        keep_empty=not args.drop_empty,
        classes=args.classes,
        workers=args.workers,
        overwrite=args.overwrite,
        progress=False if args.quiet else None,
    )
    if not args.quiet:
        print(summary(result, labelled=args.labels is not None))
        if result.unknown_classes:
            print(f"in no version of DOTA: {', '.join(result.unknown_classes)} (--classes v1.0 refuses such names)")
    return 0


def summary(result: SplitResult, *, labelled: bool) -> str:
    """The line that says what a split wrote."""
    totals = result.totals
    parts = [f"{totals.images} images -> {totals.tiles} tiles"]
    if labelled:
        parts[0] += f" ({totals.empty_tiles} without objects)"
        parts.append(
            f"{totals.objects_in_images} objects -> {totals.objects_in_tiles} in tiles ({totals.truncated} truncated), "
            f"{totals.in_no_tile} in no tile, {totals.without_area} without area"
        )
    return f"{'; '.join(parts)}; {result.seconds:.1f} s; written to {result.out}"


def _add_folders(parser: argparse.ArgumentParser) -> None:
    folders = parser.add_argument_group("folders")
    folders.add_argument(
        "--images", action="extend", nargs="+", required=True, metavar="FOLDER", help="images; may be repeated"
    )
    folders.add_argument(
        "--labels",
        action="extend",
        nargs="+",
        metavar="FOLDER",
        help="label files (labelTxt) of each --images, in the same order; leave out for a test set",
    )
    folders.add_argument("--out", required=True, metavar="FOLDER", help="a new or empty folder")
    folders.add_argument("--overwrite", action="store_true", help="replace an earlier split in --out")


def _add_windows(parser: argparse.ArgumentParser) -> None:
    windows = parser.add_argument_group("windows")
    windows.add_argument(
        "--size", type=int, nargs="+", default=[1024], metavar="PX", help="side of the windows (default: 1024)"
    )
    windows.add_argument(
        "--gap", type=int, nargs="+", default=[200], metavar="PX", help="overlap of neighbouring windows (default: 200)"
    )
    windows.add_argument(
        "--rates", type=float, nargs="+", default=[1.0], metavar="RATE", help="scales, such as 0.5 1.0 1.5 (default: 1)"
    )
    windows.add_argument(
        "--name-style",
        default="mmrotate",
        metavar="STYLE",
        help="mmrotate (default): a rate resizes the window, P0001__1024__0___824; "
        "devkit: it resamples the image, P0001__0.5__0___824",
    )
    windows.add_argument(
        "--iof-threshold",
        type=float,
        default=0.7,
        metavar="SHARE",
        help="share of an object's area that a tile must hold to list it (default: 0.7)",
    )
    windows.add_argument(
        "--image-ratio",
        type=float,
        default=0.6,
        metavar="SHARE",
        help="drop windows filled by no more than this share, unless all are (default: 0.6)",
    )


def _add_tiles(parser: argparse.ArgumentParser) -> None:
    tiles = parser.add_argument_group("tiles")
    tiles.add_argument(
        "--padding",
        type=int,
        nargs=3,
        default=[104, 116, 124],
        metavar=("B", "G", "R"),
        help="what fills tiles past the image's border (default: 104 116 124)",
    )
    tiles.add_argument("--no-padding", action="store_true", help="leave such tiles smaller")
    tiles.add_argument("--format", default="png", metavar="FORMAT", help="png (default), jpg, bmp or tif")
    tiles.add_argument("--drop-empty", action="store_true", help="do not write tiles without objects")
    tiles.add_argument(
        "--classes", metavar="CLASSES", help="refuse other classes: v1.0, v1.5, v2.0, names with commas, or a file"
    )
    tiles.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    tiles.add_argument("--quiet", action="store_true", help="print nothing")
