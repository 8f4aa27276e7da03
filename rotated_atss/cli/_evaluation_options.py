"""Options that the commands ``evaluate`` and ``report`` share."""

from __future__ import annotations

import argparse

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.dota.datasets import DATASET_NAMES
from rotated_atss.errors import UserError


def add_input_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options for the detections and the ground truth.

    Args:
        parser: The parser.
        required: Whether the detections and the ground truth must be given.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_input_arguments(parser, required=True)
        >>> parser.parse_args(["--detections", "merged", "--labels", "labelTxt"]).labels
        ['labelTxt']
    """
    parser.add_argument(
        "--detections", required=required, metavar="DIR|JSON",
        help="folder of merged Task1_<class>.txt files (a class without a file has no detections), or, with "
        "--coco-annotations, a COCO results JSON",
    )  # fmt: skip
    ground_truth = parser.add_mutually_exclusive_group(required=required)
    ground_truth.add_argument(
        "--labels", action="extend", nargs="+", metavar="DIR",
        help="label folders (labelTxt) of the full images; every image with a label file is evaluated; repeatable",
    )  # fmt: skip
    ground_truth.add_argument("--coco-annotations", metavar="JSON", help="COCO instances JSON with horizontal boxes")
    parser.add_argument(
        "--ignore-unlabeled", action="store_true",
        help="ignore detections on images without a label file (default: such detections are an error)",
    )  # fmt: skip


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for evaluation rules, number of threads and progress bar.

    Args:
        parser: The parser.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_rule_arguments(parser)
        >>> parser.parse_args([]).dataset
        'v1.0'
    """
    rules = parser.add_argument_group("evaluation rules")
    rules.add_argument(
        "--dataset", "--dota-version", dest="dataset", default="v1.0", choices=DATASET_NAMES, metavar="NAME",
        help=f"dataset whose classes and evaluation rules apply: {', '.join(DATASET_NAMES)} (default: v1.0 of DOTA)",
    )  # fmt: skip
    rules.add_argument(
        "--metric", choices=("voc07", "area", "coco"),
        help="voc07: 11-point interpolated AP, as in DOTA; area: area under the precision envelope; coco: 101-point AP "
        "with COCO's matching, overall and by object size (default: the metric of the dataset)",
    )  # fmt: skip
    add_classes_argument(rules, "classes to evaluate, for example those of your own data", "those of --dataset")
    rules.add_argument(
        "--difficult", choices=("ignore", "count"),
        help="ignore difficult objects and the detections matched to them, or count them like any other object "
        "(default: ignore for v1.0, count for other datasets)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, metavar="N", help="number of threads (default: one per core)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar; results are still printed")


def reject_rule_arguments(args: argparse.Namespace, option: str) -> None:
    """Reject options for evaluation rules if another option makes them meaningless.

    Args:
        args: Arguments of a command with the options of :func:`add_input_arguments` and :func:`add_rule_arguments`.
        option: The other option, for the error message. ``--coco-annotations`` implies COCO's rules. ``--json`` reads a
            report, whose values are already computed.

    Raises:
        UserError: An option for evaluation rules is given.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_input_arguments(parser, required=False)
        >>> add_rule_arguments(parser)
        >>> reject_rule_arguments(parser.parse_args(["--metric", "area"]), "--coco-annotations")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: --metric, --dataset, ... do not apply with --coco-annotations
    """
    rules = (args.metric, args.dataset, args.classes, args.difficult, args.ignore_unlabeled)
    if rules != (None, "v1.0", None, None, False):  # the defaults
        options = "--metric, --dataset, --dota-version, --classes, --difficult and --ignore-unlabeled"
        raise UserError(f"{options} do not apply with {option}")
