"""Options of evaluation reports, shared by ``evaluate`` and ``report``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.cli._evaluation import resolve_workers
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.report.evaluation import ReportOptions

# Default of --max-images. The parser's default is None, so that evaluate can raise an error if --max-images is given
# without --report.
MAX_IMAGES = 100


def add_report_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the options of a report, except the one for its folder.

    Args:
        parser: A parser or an argument group.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_report_arguments(parser)
        >>> parser.parse_args(["--score", "0.5"]).score
        0.5
    """
    parser.add_argument(
        "--images", action="extend", nargs="+", metavar="DIR",
        help="folders of the full images, so that the report shows them with their boxes; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--score", type=float, metavar="S",
        help="score threshold for counts, confusion matrix and pictures (default: the threshold with the highest F1 "
        "over all classes)",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", metavar="REPORT", help="compare with another report: its folder or its report.json"
    )
    parser.add_argument(
        "--max-images", type=int, metavar="N",
        help="show at most N images in the report: first the worst and the best ones, then those with the most errors "
        f"(default: {MAX_IMAGES})",
    )  # fmt: skip
    parser.add_argument(
        "--assignment", metavar="JSON",
        help="also show these assignment statistics, written by assignment-stats --json for the training set",
    )  # fmt: skip


def prepare_report_options(
    args: argparse.Namespace, out: str, *, inputs: Iterable[str | Path], outputs: Iterable[str | Path] = ()
) -> None:
    """Check the options of a report before the evaluation, and read the files of ``--baseline`` and ``--assignment``.

    The paths ``args.baseline`` and ``args.assignment`` are replaced with the contents of the files.

    Args:
        args: Arguments of :func:`add_report_arguments`.
        out: Folder of the report.
        inputs: Files and folders that the command reads; the folder of the report must not overlap them.
        outputs: Other files that the command writes; none may be in the folder of the report.

    Raises:
        UserError: A value is invalid, an input does not exist, or the folder of the report cannot be used: it overlaps
            an input, it would contain one of ``outputs``, or it contains files but no earlier report.

    Example::

        prepare_report_options(args, args.report, inputs=list_task1_inputs(args))
    """
    from rotated_atss.analysis.assignment_report import read_assignment_report
    from rotated_atss.io.files import reject_overlapping_output
    from rotated_atss.report.build import check_report_folder
    from rotated_atss.report.report_file import read_report

    if args.score is not None and not math.isfinite(args.score):
        raise UserError(f"the score threshold must be finite, got {args.score}", where="--score")
    if args.max_images is not None and args.max_images < 0:
        raise UserError(f"the number of images must not be negative, got {args.max_images}", where="--max-images")
    for folder in args.images or ():
        if not Path(folder).is_dir():
            raise UserError("no such folder of images", where=folder)
    report_inputs = [path for path in (args.baseline, args.assignment, *(args.images or ())) if path is not None]
    reject_overlapping_output(out, [*inputs, *report_inputs], hint="choose another folder for the report")
    check_report_folder(out, outputs)
    if args.baseline is not None:
        args.baseline = read_report(args.baseline)
    if args.assignment is not None:
        args.assignment = read_assignment_report(args.assignment)


def build_report_options(args: argparse.Namespace, out: str) -> ReportOptions:
    """Build the options of a report from the arguments of a command.

    Args:
        args: All arguments of ``evaluate`` or ``report``, after :func:`prepare_report_options`. Either ``labels`` or
            ``coco_annotations`` is given.
        out: Folder of the report.

    Example::

        report_task1(result, detections, labels, build_report_options(args, args.report))
    """
    from rotated_atss.report.evaluation import ReportOptions

    return ReportOptions(
        out=out,
        detections=args.detections,
        labels=args.labels or [args.coco_annotations],
        images=args.images or (),
        max_images=MAX_IMAGES if args.max_images is None else args.max_images,
        score=args.score,
        baseline=args.baseline,
        assignment=args.assignment,
        workers=resolve_workers(args),
        progress=False if args.quiet else None,  # None shows progress on a terminal
    )
