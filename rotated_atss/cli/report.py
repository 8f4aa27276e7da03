"""``rotated-atss report``: write a report of an evaluation as static pages."""

from __future__ import annotations

import argparse

from rotated_atss.cli._evaluation_options import add_input_arguments, add_rule_arguments, reject_rule_arguments
from rotated_atss.cli._report_options import (
    add_report_arguments,
    build_report_options,
    prepare_report_options,
)
from rotated_atss.errors import UserError

HELP = (
    "Write a report of detections as pages that open without a network connection, with JSON and CSV tables: AP, "
    "precision and recall per class, curves, confusion matrix, kinds of errors, AP by size, aspect ratio, angle and "
    "density, calibration, and counts per image. With --json: render the pages of an earlier report again."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the report")
    add_input_arguments(parser, required=False)
    parser.add_argument(
        "--json", metavar="REPORT", help="report.json or folder of an earlier report, given instead of detections"
    )
    add_report_arguments(parser.add_argument_group("report"))
    add_rule_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.json is not None:
        return _render_again(args)
    if args.detections is None or (args.labels is None and args.coco_annotations is None):
        raise UserError("nothing to report on", hint="give --detections and --labels or --coco-annotations, or --json")
    return _report_coco(args) if args.coco_annotations else _report_task1(args)


def _render_again(args: argparse.Namespace) -> int:
    """Write the pages of the report in ``args.json`` from its recorded results, without evaluating again."""
    from rotated_atss.report.build import render_report
    from rotated_atss.report.report_file import read_report

    # These options do not apply to an earlier report. All of them are None by default.
    inapplicable = ("detections", "labels", "coco_annotations", "images", "max_images", "score", "assignment")
    given = [name for name in inapplicable if getattr(args, name) is not None]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise UserError(f"{option} does not apply with --json, which already contains all results")
    reject_rule_arguments(args, "--json")
    prepare_report_options(args, args.out, inputs=[args.json])  # replaces the path args.baseline with its content
    print(f"report: {render_report(read_report(args.json), args.out, args.baseline)}")
    return 0


def _report_task1(args: argparse.Namespace) -> int:
    from rotated_atss.cli._evaluation import evaluate_task1, list_task1_inputs
    from rotated_atss.dota.classes import resolve_classes
    from rotated_atss.report.evaluation import report_task1

    classes = resolve_classes(args.classes or args.dataset)
    prepare_report_options(args, args.out, inputs=list_task1_inputs(args))
    evaluation = evaluate_task1(args, classes)
    report_task1(evaluation.result, evaluation.detections, evaluation.labels, build_report_options(args, args.out))
    return 0


def _report_coco(args: argparse.Namespace) -> int:
    from rotated_atss.coco.bbox_evaluation import evaluate_boxes
    from rotated_atss.coco.instances import read_instances
    from rotated_atss.coco.results_file import read_results
    from rotated_atss.report.evaluation import report_coco

    reject_rule_arguments(args, "--coco-annotations")
    prepare_report_options(args, args.out, inputs=[args.coco_annotations, args.detections])
    instances = read_instances(args.coco_annotations)
    detections = read_results(args.detections, instances)
    report_coco(evaluate_boxes(instances, detections), instances, detections, build_report_options(args, args.out))
    return 0
