"""``rotated-atss merge``: merge tile detections into detections on full images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.cli._scheduler_option import add_scheduler_argument, make_cluster_paths_absolute
from rotated_atss.cli._shard_option import add_shard_argument, format_unfinished, parse_shard
from rotated_atss.io.text_table import align_columns

if TYPE_CHECKING:
    from rotated_atss.tiling.merge_parts import ClassMerge
    from rotated_atss.tiling.merge_shards import ShardMerge

HELP = "Merge Task1 files of tiles into Task1 files of full images by polygon NMS per class and image."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rotated_atss.tiling.merge_polygons import IOU_THRESHOLD

    parser.add_argument(
        "tiles", metavar="TASK1_DIR",
        help="folder of Task1_<class>.txt with tile names as image ids, as written by mmrotate (P0001__1024__0___824, "
        "with the window size) or by DOTA_devkit (P0001__0.5__0___824, with the rate)",
    )  # fmt: skip
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder of the merged Task1_<class>.txt")
    parser.add_argument(
        "--iou-threshold", type=float, default=IOU_THRESHOLD, metavar="IOU",
        help="suppress detections whose IoU with a higher-scoring detection of the same class exceeds this value "
        f"(default: {IOU_THRESHOLD})",
    )  # fmt: skip
    add_classes_argument(
        parser,
        "class list of the output",
        "the classes that have a file in TASK1_DIR",
        "Each class gets a file, even without detections; other classes are an error",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: one per core)")
    add_shard_argument(parser, "merge", "part of the files")
    add_scheduler_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    import time

    from rotated_atss.tiling.merge_text import merge_folder, merge_shard

    shard = parse_shard(args)
    make_cluster_paths_absolute(args.scheduler, vars(args), ["tiles"], ["out"])
    start = time.perf_counter()
    options = {
        "classes": args.classes, "workers": args.workers, "scheduler": args.scheduler,
        "progress": False if args.quiet else None,
    }  # fmt: skip
    if shard is None:
        class_merges = merge_folder(args.tiles, args.out, args.iou_threshold, **options)
    else:
        result = merge_shard(args.tiles, args.out, shard, args.iou_threshold, **options)
        if not result.classes:  # only the last shard to end writes the merged classes
            if not args.quiet:
                print(_describe_unwritten(result, args.out, time.perf_counter() - start))
            return 0
        class_merges = list(result.classes)
    if not args.quiet:
        print(_format_counts(class_merges))
        print(f"IoU threshold {args.iou_threshold:g}; {time.perf_counter() - start:.1f} s; written to {args.out}")
    return 0


def _describe_unwritten(result: ShardMerge, out: str, seconds: float) -> str:
    """Explain why a shard has not written the merged files: they exist already, or other shards are not finished."""
    if result.was_finished:
        return f"{out}: this merge is complete; nothing to do"
    return format_unfinished(result.unfinished, seconds, f"writes {out}")


def _format_counts(class_merges: Sequence[ClassMerge]) -> str:
    """Format the counts before and after merging as a table with one line per class and one line of sums."""
    rows: list[tuple[str, ...]] = [("class", "tiles", "images", "detections", "merged")]
    rows += [
        (merge.name, str(merge.tiles), str(merge.images), str(merge.before), str(merge.after)) for merge in class_merges
    ]
    sums = [sum(getattr(merge, field) for merge in class_merges) for field in ("before", "after")]
    rows.append(("all", "", "", *map(str, sums)))
    return "\n".join(align_columns(rows))
