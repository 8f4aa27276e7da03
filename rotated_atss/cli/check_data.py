"""``rotated-atss check-data``: report all problems of a dataset."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.cli._scheduler_option import add_scheduler_argument, make_cluster_paths_absolute
from rotated_atss.cli._shard_option import add_shard_argument, format_unfinished, parse_shard
from rotated_atss.cli.convert_labels import FORMAT_NAMES, add_class_column_arguments
from rotated_atss.errors import UserError, count_of

if TYPE_CHECKING:
    from rotated_atss.data_check.check import DataReport

EXAMPLES_PER_KIND = 5  # number of problems per kind that are listed without --all
HELP = (
    "Report all problems of a dataset in one pass: faulty images, faulty labels, and images that occur in two parts, "
    "such as train and val. The exit code is 1 if there are errors."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", required=True, action="extend", nargs="+", metavar="FOLDER",
        help="image folder of each part, such as train and val; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--labels", action="extend", nargs="+", metavar="FOLDER",
        help="label folder or file of each image folder, in the same order (default: only the images are checked)",
    )  # fmt: skip
    parser.add_argument(
        "--label-format", default="auto", choices=("auto", *FORMAT_NAMES), metavar="FORMAT",
        help="format of --labels: one of the formats of convert-labels, or auto, which takes the format that most "
        "files have (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--coco", action="extend", nargs="+", metavar="JSON",
        help="COCO instances JSON of each image folder, in the same order, instead of --labels",
    )  # fmt: skip
    parser.add_argument(
        "--against", action="extend", nargs="+", metavar="FOLDER", default=[],
        help="further image folders, such as the test set, that are not checked, but compared with --images",
    )  # fmt: skip
    add_classes_argument(
        parser,
        "class list",
        "any name is accepted, and names that are almost the same are reported",
        "Other names are errors",
    )
    add_class_column_arguments(parser)
    parser.add_argument(
        "--headers-only", action="store_true",
        help="do not decode images: faster, but damaged pixels, images of a single color, and images with the pixels "
        "of another image are not found",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="exit with 1 also if there are only warnings")
    parser.add_argument("--all", action="store_true", help="list every problem (default: five per kind)")
    parser.add_argument("--json", metavar="FILE", help="write all problems as JSON")
    parser.add_argument(
        "--fix", metavar="FOLDER",
        help="write a cleaned copy of the dataset to this new or empty folder: links to the images, and the labels as "
        "DOTA text files (with --coco: as a corrected JSON)",
    )  # fmt: skip
    parser.add_argument(
        "--copy-images", action="store_true", help="with --fix: copy the images instead of linking to them"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: one per core)")
    add_shard_argument(
        parser,
        "check",
        "image and label file",
        "reports all problems. Needs --json FILE; the shards store their results in FILE.shards",
    )
    add_scheduler_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.data_check.check import check_data
    from rotated_atss.data_check.fix import check_fix_output, write_cleaned_copy
    from rotated_atss.data_check.parts import pair_parts
    from rotated_atss.data_check.problems import count_severities
    from rotated_atss.dota.classes import resolve_classes
    from rotated_atss.io.files import check_writable, write_json

    shard = parse_shard(args)
    _check_combinations(args)
    if args.json is not None:
        _reject_data_file_as_output(args)
        check_writable(args.json)
    make_cluster_paths_absolute(args.scheduler, vars(args), ["images", "labels", "coco", "against"])
    classes = None if args.classes is None else resolve_classes(args.classes)
    parts = pair_parts(args.images, args.labels, args.coco)
    if args.fix is not None:
        check_fix_output(parts, args.fix)
    report = check_data(
        parts,
        against=args.against,
        label_format=args.label_format,
        classes=classes,
        class_column=args.class_column,
        class_name=args.class_name,
        decode=not args.headers_only,
        workers=args.workers,
        scheduler=args.scheduler,
        progress=False if args.quiet else None,
        records=_records_folder(args),
        shard=shard,
    )
    if report.unfinished:  # Other shards are not finished. The shard that ends last reports the problems.
        if not args.quiet:
            last_step = f"reports the problems and writes {args.json}"
            print(format_unfinished(report.unfinished, report.seconds, last_step))
        return 0
    lines = _format_lines(report, None if args.all else EXAMPLES_PER_KIND)
    if args.json is not None:
        write_json(args.json, report.to_json())
    if args.fix is not None:
        lines += write_cleaned_copy(report, args.fix, classes, copy_images=args.copy_images).lines()
    if not args.quiet:
        print("\n".join(lines))
    num_errors, num_warnings = count_severities(report.problems)
    return 1 if num_errors or (args.strict and num_warnings) else 0


def _check_combinations(args: argparse.Namespace) -> None:
    """Refuse options that need another option, and options that cannot be combined."""
    if args.copy_images and args.fix is None:
        raise UserError("--copy-images needs --fix")
    if args.shard is not None and args.json is None:
        raise UserError("--shard needs --json FILE", hint="the shards share the folder FILE.shards")
    if args.shard is not None and args.fix is not None:
        hint = "repeat the command without --shard when all shards have ended: it uses their results"
        raise UserError("--fix cannot be combined with --shard", hint=hint)


def _reject_data_file_as_output(args: argparse.Namespace) -> None:
    """Refuse to replace an existing image or label file by the JSON file of problems."""
    from rotated_atss.dota.folders import IMAGE_SUFFIXES
    from rotated_atss.io.files import reject_overlapping_output

    if not os.path.isfile(args.json):
        return
    inputs = [*(args.labels or ()), *(args.coco or ())]
    if Path(args.json).suffix.lower() in IMAGE_SUFFIXES:
        inputs += [*args.images, *args.against]
    reject_overlapping_output(args.json, inputs, may_contain_inputs=True, hint="choose another --json")


def _records_folder(args: argparse.Namespace) -> Path | None:
    """Return the folder for the results of shards, or None if there are no shards.

    A later run without ``--shard`` uses the folder if it exists.
    """
    if args.json is None:
        return None
    folder = Path(f"{args.json}.shards")
    return folder if args.shard is not None or folder.exists() else None


def _format_lines(report: DataReport, max_per_kind: int | None) -> list[str]:
    """Format the problems, at most ``max_per_kind`` per kind (None: all), followed by a line with totals."""
    from rotated_atss.data_check.problems import count_severities, format_report

    counts = [count_of(sum(len(part.images) for part in report.parts), "image")]
    if report.num_compared:  # images of --against
        counts.append(f"{report.num_compared} compared")
    num_label_files = sum(len(part.labels) for part in report.parts)
    if num_label_files:
        formats = ", ".join(dict.fromkeys(report.format_names))
        counts.append(f"{count_of(num_label_files, 'label file')} ({formats})")
    if report.class_counts:
        num_objects, num_classes = report.class_counts.total(), len(report.class_counts)
        counts.append(f"{count_of(num_objects, 'object')} of {count_of(num_classes, 'class')}")
    num_errors, num_warnings = count_severities(report.problems)
    severities = f"{count_of(num_errors, 'error')}, {count_of(num_warnings, 'warning')}"
    total_line = f"{', '.join(counts)}; {severities}; {report.seconds:.1f} s"
    return [*format_report(report.problems, max_per_kind), total_line]
