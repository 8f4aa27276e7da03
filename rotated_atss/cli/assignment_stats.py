"""``rotated-atss assignment-stats``: count the positives that a config's assigner selects per ground-truth box."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._preflight import check_inputs_exist
from rotated_atss.errors import UserError, count_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rotated_atss.detection.engine.dataset_records import AssignmentInput

HELP = (
    "Run only the assigner of a config on its training set, and report the positives per ground-truth box (by size, "
    "aspect ratio and angle), the positives per level, and the boxes without positives."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="path or bare name of a config")
    parser.add_argument(
        "--data", metavar="DIR|JSON",
        help="folder that is laid out like the config's data_root, or a COCO instances JSON (default: the config's "
        "training set)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="use only the first N images of the dataset")
    parser.add_argument(
        "--compare", nargs="+", metavar="ASSIGNER", default=[],
        help="assigners to compare. config: the assigner of the config, unchanged. obb, hbb: the same assigner with "
        "the IoU of oriented boxes or of circumscribed horizontal boxes. atss, ssc, iou, topk, center_sampling: "
        "another strategy; append -hbb for circumscribed boxes (default: obb hbb; if the boxes are horizontal: config)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", help="folder for assignment.png (default: work_dirs/CONFIG)")
    parser.add_argument(
        "--json", metavar="FILE",
        help="write the statistics to this file; plots are then written only if --out is given",
    )  # fmt: skip
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    check_inputs_exist(args.config)
    if args.data and not Path(args.data).exists():
        raise UserError("no such file or folder", where=args.data)
    from rotated_atss.analysis.positive_counts import summarize
    from rotated_atss.analysis.positive_plots import plot_report
    from rotated_atss.analysis.positive_tables import format_report
    from rotated_atss.detection.engine.assigner_statistics import count_positives
    from rotated_atss.detection.engine.config import load_config
    from rotated_atss.detection.engine.dataset_records import load_records
    from rotated_atss.io.files import atomic_write, check_writable, reject_overlapping_output, write_json

    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit must be at least 1, got {args.limit}")
    folder = None  # --json alone writes no plots
    if args.out or not args.json:
        folder = Path(args.out) if args.out else Path("work_dirs") / Path(args.config).stem
    # The outputs must not replace --data or lie in it. An output folder that contains --data is allowed.
    for target in filter(None, (folder, args.json)):
        reject_overlapping_output(target, [args.data] if args.data else [], may_contain_inputs=True)
    if args.json:
        check_writable(args.json)
    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    records, pipeline = load_records(cfg, args.data)
    records = records[: args.limit]  # None keeps all
    box_shapes, counts_by_assigner = count_positives(cfg, args.compare, _iterate_assignment_inputs(records, pipeline))
    num_images = sum(bool(record["instances"]) for record in records)
    summary = summarize(box_shapes, counts_by_assigner)
    report: dict[str, Any] = {"config": cfg.config_name, "images": num_images, **summary}
    if not report["objects"]:
        raise UserError("no ground-truth box to assign", where=args.data, hint="check --data, or raise --limit")
    images_text = f"{count_of(num_images, 'image')} with objects"
    boxes_text = count_of(report["objects"], "ground-truth box")
    print(f"{cfg.config_name}: {boxes_text} in {images_text}\n\n{format_report(report)}")
    if folder is not None:
        atomic_write(folder / "assignment.png", plot_report(report, f"{cfg.config_name}, {images_text}"))
        print(f"\nplots: {folder / 'assignment.png'}")
    if args.json:
        write_json(args.json, report)
    return 0


def _iterate_assignment_inputs(records: list[dict], pipeline: list[dict]) -> Iterator[AssignmentInput]:
    """Yield the input of the assigner for each image with objects, with a progress bar."""
    from rotated_atss.detection.engine.dataset_records import build_assignment_input
    from rotated_atss.io.progress import progress_bar

    for record in progress_bar(records, unit="image", leave=False):
        if record["instances"]:
            yield build_assignment_input(record, pipeline)
