"""``rotated-atss show-assignment``: show which priors a config's assigner assigns to the objects of an image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._labeled_image import CROWD, LabeledObjects, find_image_and_labels, read_objects
from rotated_atss.cli._preflight import check_inputs_exist
from rotated_atss.errors import UserError, count_of

if TYPE_CHECKING:
    from mmengine.config import Config

    from rotated_atss.analysis.assignment_trace import AssignmentTrace
    from rotated_atss.detection.engine.assigner_trace import ImageAssignment

HELP = (
    "Show which priors the assigner of a config assigns to the objects of an image, at the input size of the network: "
    "a table of the objects with their positives per level, or with --object the steps of ATSS for one object. --out "
    "draws the same on the image."
)
_MAX_REDUCTION = 1.5  # an image that the pipeline reduces by a larger factor is probably not a tile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="path or bare name of a config")
    parser.add_argument("image", metavar="IMAGE", help="image file, or with --data the name of a tile")
    parser.add_argument(
        "--object", type=int, metavar="N", help="show the steps of ATSS for object N of the table, counted from 0"
    )
    parser.add_argument(
        "--labels", metavar="FILE|DIR",
        help="DOTA label file of the image, folder of such files, or COCO instances JSON (default: the label "
        "file with the image's name, in ../labelTxt or in the folder of the image)",
    )  # fmt: skip
    parser.add_argument("--data", metavar="DIR", help="dataset folder with images and labelTxt, as split writes it")
    parser.add_argument("--out", metavar="PNG", help="draw a picture of all objects, or with --object of that object")
    parser.add_argument("--json", metavar="FILE", help="write the table, and with --object the trace, to this file")
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    check_inputs_exist(args.config)
    image, labels = find_image_and_labels(args.image, args.labels, args.data)
    _check_outputs(args, [image, labels, *([args.data] if args.data else [])])
    objects = read_objects(labels, image)
    from rotated_atss.detection.engine.config import load_config
    from rotated_atss.io.images import image_size

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    assignment, names = _prepare_assignment(cfg, objects, image_size(image))
    _check_object_index(args.object, len(names))
    traces = _compute_traces(assignment, args.object)
    _print_assignment(args, cfg, image, assignment, names, traces, objects)
    if args.out:
        _write_picture(Path(args.out), cfg, image, assignment, names, traces)
        print(f"\npicture: {args.out}")
    if args.json:
        from rotated_atss.io.files import write_json

        write_json(args.json, _to_json(cfg, image, assignment, names, traces))
    return 0


def _check_outputs(args: argparse.Namespace, inputs: list[Any]) -> None:
    from rotated_atss.io.files import check_writable, reject_overlapping_output

    if args.out and Path(args.out).suffix.lower() != ".png":
        raise UserError(f"pictures are written as .png, got '{Path(args.out).suffix}'", where="--out")
    for target in filter(None, (args.out, args.json)):
        reject_overlapping_output(target, inputs)
        check_writable(target)
    if args.out and args.json and Path(args.out).resolve() == Path(args.json).resolve():
        raise UserError(f"--out and --json must be two files, got {args.out} twice")


def _check_object_index(object_index: int | None, num_objects: int) -> None:
    if object_index is not None and not 0 <= object_index < num_objects:
        indices = f"0 to {num_objects - 1}" if num_objects else "none"
        what = f"the image has {count_of(num_objects, 'object')} ({indices}), got {object_index}"
        raise UserError(what, where="--object")


def _prepare_assignment(
    cfg: Config, objects: LabeledObjects, image_wh: tuple[int, int]
) -> tuple[ImageAssignment, list[str]]:
    """Prepare the assignment of an image.

    As in training, the options ``difficult`` and ``difficult_from`` of the config's training set determine which
    difficult objects are dropped or ignored.

    Returns:
        assignment: The assignment. Its ``inputs.gt_boxes`` do not include dropped and ignored objects.
        names: Class names of ``inputs.gt_boxes``.
    """
    import torch

    from rotated_atss.detection.engine.assigner_trace import has_oriented_boxes, prepare_assignment
    from rotated_atss.detection.engine.dataset_wrappers import innermost_dataset_cfgs
    from rotated_atss.ops.boxes import poly_to_obb

    train_loader = cfg.get("train_dataloader") or {}
    dataset: dict[str, Any] = next(innermost_dataset_cfgs(train_loader.get("dataset")), {})
    rule = dataset.get("difficult", "keep")  # what happens to difficult objects: keep, ignore or drop
    lowest_flag = dataset.get("difficult_from", 1)  # objects with at least this flag are difficult
    # CROWD is greater than the difficult flags of DOTA (0, 1, 2).
    is_difficult = [lowest_flag <= flag < CROWD for flag in objects.difficult]
    rows = [row for row, difficult in enumerate(is_difficult) if not (difficult and rule == "drop")]
    is_ignored = [objects.difficult[row] == CROWD or (is_difficult[row] and rule == "ignore") for row in rows]
    polygons = torch.from_numpy(objects.polygons[rows])
    if has_oriented_boxes(cfg):
        boxes = poly_to_obb(polygons, rect=dataset.get("rect", "edge"))  # fits rectangles as in training
    else:
        corners = polygons.view(-1, 4, 2)
        boxes = torch.cat((corners.amin(1), corners.amax(1)), 1)  # (N, 4) circumscribed horizontal boxes
    assignment = prepare_assignment(cfg, image_wh, boxes.tolist(), is_ignored)
    return assignment, [objects.names[row] for row, ignored in zip(rows, is_ignored) if not ignored]


def _compute_traces(assignment: ImageAssignment, object_index: int | None) -> dict[str, AssignmentTrace]:
    """Compute the traces of an object by variant.

    For oriented boxes, the variants are the kinds of boxes whose IoU is computed, "hbb" and "obb". For horizontal
    boxes, the only variant is "config", the assigner as configured.

    If ``object_index`` is None or the assigner is not ATSS, there are no traces.
    """
    if object_index is None or not assignment.is_atss:
        return {}
    variants = ("hbb", "obb") if assignment.oriented else ("config",)
    return {variant: assignment.trace(variant, object_index) for variant in variants}


def _print_assignment(
    args: argparse.Namespace,
    cfg: Config,
    image: Path,
    assignment: ImageAssignment,
    names: list[str],
    traces: dict[str, AssignmentTrace],
    objects: LabeledObjects,
) -> None:
    from rotated_atss.analysis.assignment_text import format_objects, format_trace
    from rotated_atss.cli._assignment_picture import count_positives, picture_title, variant_title
    from rotated_atss.io.images import image_size

    width, height = image_size(image)
    print(picture_title(cfg, image, assignment, names))
    if objects.num_without_area:
        print(f"{count_of(objects.num_without_area, 'object')} without area left out")
    input_width, _ = assignment.inputs.image_wh
    if width > _MAX_REDUCTION * input_width:
        print(
            f"the image of {width} x {height} px is reduced as in the config's test pipeline; training uses tiles: "
            "give a tile written by rotated-atss split"
        )
    if args.object is None:
        counts = count_positives(assignment, len(names))
        print(f"\n{format_objects(assignment.inputs.gt_boxes, names, counts, assignment.strides)}")
        return
    print(f"object {args.object}: {names[args.object]}")
    if not traces:
        print(f"{type(assignment.assigner).__name__} is not ATSS, so there is no trace: --out draws the positives")
    for variant, trace in traces.items():
        print(f"\n{variant_title(assignment, variant)}")
        print(*format_trace(trace, assignment.strides), sep="\n")


def _write_picture(
    out: Path,
    cfg: Config,
    image: Path,
    assignment: ImageAssignment,
    names: list[str],
    traces: dict[str, AssignmentTrace],
) -> None:
    from rotated_atss.cli._assignment_picture import draw_object, draw_overview
    from rotated_atss.io.files import atomic_write

    png = draw_object(cfg, image, assignment, names, traces) if traces else draw_overview(cfg, image, assignment, names)
    atomic_write(out, png)


def _to_json(
    cfg: Config, image: Path, assignment: ImageAssignment, names: list[str], traces: dict[str, AssignmentTrace]
) -> dict[str, Any]:
    from rotated_atss.analysis.assignment_json import trace_to_json
    from rotated_atss.cli._assignment_picture import count_positives

    counts = count_positives(assignment, len(names)).tolist()  # (G, L)
    content: dict[str, Any] = {
        "config": cfg.config_name,
        "image": image.stem,
        "input_wh": list(assignment.inputs.image_wh),
        "assigner": type(assignment.assigner).__name__,
        "strides": assignment.strides,
        "objects": [
            {"object": index, "class": name, "box": box, "positives": sum(row), "positives_by_level": row}
            for index, (name, box, row) in enumerate(zip(names, assignment.inputs.gt_boxes.tolist(), counts))
        ],
        "ignored": len(assignment.inputs.gt_boxes_ignore),
    }
    if traces:
        traced = {variant: trace_to_json(trace, assignment.strides) for variant, trace in traces.items()}
        content["config_variant"], content["traces"] = assignment.variant, traced
    return content
