"""``rotated-atss evaluate``: compute the average precision of detections on full images."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING

from rotated_atss.cli._evaluation_options import add_input_arguments, add_rule_arguments, reject_rule_arguments
from rotated_atss.cli._report_options import add_report_arguments, build_report_options, prepare_report_options
from rotated_atss.errors import UserError, first_of, printable

if TYPE_CHECKING:
    from rotated_atss.cli._evaluation import Task1Evaluation

HELP = (
    "Compute the average precision (AP) of detections on full images, given as Task1 files, with the rules of DOTA or "
    "of another dataset. With --coco-annotations: COCO's twelve metrics for a results JSON."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_input_arguments(parser, required=True)
    parser.add_argument("--per-class", action="store_true", help="with --coco-annotations: also print the AP per class")
    add_rule_arguments(parser)
    parser.add_argument("--json", metavar="FILE", help="write the results to this file")
    report = parser.add_argument_group("report")
    report.add_argument("--report", metavar="DIR", help="write pages, JSON and CSV tables to this folder")
    add_report_arguments(report)


def run(args: argparse.Namespace) -> int:
    # These are the options of add_report_arguments. An option that is not given is None.
    report_options = ("images", "score", "baseline", "max_images", "assignment")
    given = [name for name in report_options if getattr(args, name) is not None]
    if given and args.report is None:
        raise UserError(f"--{given[0].replace('_', '-')} applies only to the report", hint="add --report DIR")
    return _run_coco(args) if args.coco_annotations else _run_task1(args)


def _run_coco(args: argparse.Namespace) -> int:
    from rotated_atss.coco.bbox_evaluation import evaluate_boxes
    from rotated_atss.coco.coco_result import format_table, result_to_json
    from rotated_atss.coco.instances import read_instances
    from rotated_atss.coco.results_file import read_results
    from rotated_atss.io.files import write_json

    reject_rule_arguments(args, "--coco-annotations")
    _check_outputs(args, [args.coco_annotations, args.detections])
    instances = read_instances(args.coco_annotations)
    detections = read_results(args.detections, instances)
    result = evaluate_boxes(instances, detections)
    print(format_table(result, args.per_class))
    if args.json:
        write_json(args.json, result_to_json(result))
    if args.report:
        from rotated_atss.report.evaluation import report_coco

        report_coco(result, instances, detections, build_report_options(args, args.report))
    return 0


def _run_task1(args: argparse.Namespace) -> int:
    from rotated_atss.cli._evaluation import evaluate_task1, list_task1_inputs
    from rotated_atss.dota.ap_result import format_table, result_to_json
    from rotated_atss.dota.classes import resolve_classes
    from rotated_atss.dota.detections import list_task1_files
    from rotated_atss.io.files import write_json

    classes = resolve_classes(args.classes or args.dataset)  # a dataset name stands for its classes
    _check_outputs(args, list_task1_inputs(args))
    evaluation = evaluate_task1(args, classes)
    print(format_table(evaluation.result))
    if evaluation.unevaluated_classes:  # This needs --classes; without it, further classes are an error.
        print(f"classes not evaluated (not in --classes): {printable(', '.join(evaluation.unevaluated_classes))}")
    task1_files = list_task1_files(args.detections)
    num_objects = {name: result.npos for name, result in evaluation.result.per_class.items()}
    classes_without_file = [name for name in classes if name not in task1_files and num_objects[name]]
    if classes_without_file:
        listed = printable(", ".join(classes_without_file))
        print(f"classes without a Task1 file, evaluated with no detections: {listed}")
    images_without_detections = _find_images_without_detections(evaluation, classes)
    if images_without_detections:
        print(f"images with objects but without detections: {printable(first_of(images_without_detections))}")
    if args.json:
        write_json(args.json, result_to_json(evaluation.result))
    if args.report:
        from rotated_atss.report.evaluation import report_task1

        options = build_report_options(args, args.report)
        report_task1(evaluation.result, evaluation.detections, evaluation.labels, options)
    return 0


def _find_images_without_detections(evaluation: Task1Evaluation, classes: Collection[str]) -> list[str]:
    """Return the ids of the images that have objects of the evaluated classes, but no detections."""
    detected = {image for detections in evaluation.detections.values() for image in detections.images}
    return [
        image
        for image, labels in evaluation.labels.items()
        if image not in detected and not set(classes).isdisjoint(labels.names)
    ]


def _check_outputs(args: argparse.Namespace, inputs: list) -> None:
    """Check that ``--json`` and ``--report`` can be written and overlap no input, and prepare the report options."""
    from rotated_atss.io.files import check_writable, reject_overlapping_output

    if args.json:
        reject_overlapping_output(args.json, inputs, hint="choose another --json")
        check_writable(args.json)
    if args.report:
        prepare_report_options(args, args.report, inputs=inputs, outputs=[args.json] if args.json else [])
