"""``rotated-atss evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.dota.classes import DOTA_VERSIONS
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotated_atss.dota.ap_result import EvaluationResult
    from rotated_atss.dota.detections import Detections
    from rotated_atss.dota.labels import Labels

HELP = (
    "Compute the average precision (AP) of merged detections on full images from text files, with the rules of DOTA's "
    "evaluation. With --coco-annotations: COCO's twelve metrics of a results JSON."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--detections", required=True, metavar="DIR|JSON",
        help="folder of merged Task1_<class>.txt; a class without a file has no detections (COCO: the results JSON)",
    )  # fmt: skip
    ground_truth = parser.add_mutually_exclusive_group(required=True)
    ground_truth.add_argument(
        "--labels", action="extend", nargs="+", metavar="DIR",
        help="label folders (labelTxt) of the full images; every image with a label file is evaluated; repeatable",
    )  # fmt: skip
    ground_truth.add_argument("--coco-annotations", metavar="JSON", help="COCO instances JSON, for horizontal boxes")
    parser.add_argument("--per-class", action="store_true", help="with --coco-annotations: also print the AP per class")
    parser.add_argument(
        "--ignore-unlabeled", action="store_true",
        help="ignore detections on images without a label file (default: they are an error)",
    )  # fmt: skip
    _add_rules(parser)
    parser.add_argument("--json", metavar="FILE", help="write the results to this file")
    parser.add_argument("--workers", type=int, metavar="N", help="number of threads (default: one per core)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar; the table is still printed")


def _add_rules(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("evaluation rules")
    rules.add_argument(
        "--metric", default="voc07", choices=("voc07", "area"),
        help="voc07 (default): 11-point interpolated AP, as DOTA; area: area under the precision envelope",
    )  # fmt: skip
    rules.add_argument(
        "--dota-version", default="v1.0", choices=DOTA_VERSIONS,
        help="DOTA version, which sets the classes and the rule for difficult objects (default: v1.0)",
    )  # fmt: skip
    rules.add_argument(
        "--classes", metavar="CLASSES",
        help="classes to evaluate: comma-separated names, or a file with one name per line (default: those of "
        "--dota-version)",
    )  # fmt: skip
    rules.add_argument(
        "--difficult", choices=("ignore", "count"),
        help="ignore difficult objects and the detections matched to them, or count them like any other object "
        "(default: ignore for v1.0, count for later versions)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    return _run_coco(args) if args.coco_annotations else _run_dota(args)


def _run_coco(args: argparse.Namespace) -> int:
    from rotated_atss.coco.bbox_evaluation import evaluate_boxes
    from rotated_atss.coco.coco_result import format_table, result_to_json
    from rotated_atss.coco.instances import read_instances
    from rotated_atss.coco.results_file import read_results
    from rotated_atss.io.files import check_output_apart, write_json

    rules = (args.metric, args.dota_version, args.classes, args.difficult, args.ignore_unlabeled)
    if rules != ("voc07", "v1.0", None, None, False):
        raise UserError("--metric, --dota-version, --classes, --difficult and --ignore-unlabeled apply to DOTA only")
    if args.json:
        check_output_apart(args.json, [args.coco_annotations, args.detections], hint="choose another --json")
    instances = read_instances(args.coco_annotations)
    result = evaluate_boxes(instances, read_results(args.detections, instances))
    print(format_table(result, args.per_class))
    if args.json:
        write_json(args.json, result_to_json(result))
    return 0


def _run_dota(args: argparse.Namespace) -> int:
    from rotated_atss.dota.ap_result import format_table, result_to_json
    from rotated_atss.dota.classes import resolve_classes
    from rotated_atss.dota.detections import list_task1_files
    from rotated_atss.io.files import write_json

    classes = resolve_classes(args.classes or args.dota_version)
    result, left_out = _evaluate_with_progress(args, classes)
    print(format_table(result))
    if left_out:
        print(f"not evaluated (not in --classes): {', '.join(left_out)}")
    files = list_task1_files(args.detections)
    missing = [name for name in classes if name not in files and result.per_class[name].npos]
    if missing:
        print(f"classes without a Task1 file, evaluated with no detections: {', '.join(missing)}")
    if args.json:
        write_json(args.json, result_to_json(result))
    return 0


def _evaluate_with_progress(args: argparse.Namespace, classes: tuple[str, ...]) -> tuple[EvaluationResult, list[str]]:
    """Read and evaluate with a progress bar that counts the bytes read and evaluated.

    With ``--classes``, other classes of the files are not evaluated; their names are returned.
    """
    from rotated_atss.dota.detections import list_task1_files, read_task1_folder
    from rotated_atss.dota.task1_evaluation import evaluate_detections
    from rotated_atss.io.files import check_output_apart
    from rotated_atss.io.processes import available_cores
    from rotated_atss.io.progress import progress_bar

    files, label_files = list_task1_files(args.detections), _find_labels(args.labels)
    if args.json:
        check_output_apart(args.json, [*files.values(), *label_files.values()], hint="choose another --json")
    bytes_of = {path: path.stat().st_size for path in (*files.values(), *label_files.values())}
    total = sum(bytes_of.values()) + sum(bytes_of[path] for path in files.values())
    workers = available_cores() if args.workers is None else args.workers
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, got {workers}", where="--workers")
    show = False if args.quiet else None
    with progress_bar(total=total, desc="evaluate", unit="B", leave=False, show=show) as bar:

        def on_read(path: Path) -> None:
            bar.update(bytes_of[path])

        def on_evaluated(name: str) -> None:
            bar.update(bytes_of[files[name]] if name in files else 0)

        detections = read_task1_folder(
            args.detections, classes, skip_unknown=bool(args.classes), workers=workers, on_done=on_read
        )
        labels = _read_labels(label_files, None if args.classes else classes, on_read)
        _reject_unknown_classes(classes, detections, labels)
        labeled = {name for label_set in labels.values() for name in label_set.names}
        left_out = sorted((labeled | set(files)) - set(classes))
        result = evaluate_detections(
            detections,
            labels,
            classes=classes,
            metric=args.metric,
            version=args.dota_version,
            difficult=args.difficult,
            ignore_unlabeled=args.ignore_unlabeled,
            workers=workers,
            on_done=on_evaluated,
        )
        return result, left_out


def _reject_unknown_classes(
    classes: tuple[str, ...], detections: Mapping[str, Detections], labels: Mapping[str, Labels]
) -> None:
    """Refuse a requested class that neither DOTA v2.0 nor any file contains."""
    from rotated_atss.dota.classes import CLASSES, unknown_class_hint

    labeled = {name for label_set in labels.values() for name in label_set.names}
    for name in classes:
        if name not in labeled and not len(detections[name]) and name not in CLASSES["v2.0"]:
            raise UserError(
                f"unknown class '{name}'", where="--classes", hint=unknown_class_hint(name, CLASSES["v2.0"])
            )


def _find_labels(folders: list[str]) -> dict[str, Path]:
    """Map image ids to label files; an image with label files in two folders is an error."""
    from rotated_atss.dota.folders import list_label_files

    by_image: dict[str, Path] = {}
    for folder in folders:
        files = list_label_files(folder)
        if not files:
            raise UserError("no label files (.txt) in this folder", where=folder)
        for path in files:
            first = by_image.setdefault(path.stem, path)
            if first != path:
                raise UserError(f"the image {path.stem} also has a label file in {first.parent}", where=path)
    return by_image


def _read_labels(
    files: Mapping[str, Path], classes: tuple[str, ...] | None, done: Callable[[Path], object]
) -> dict[str, Labels]:
    """Read the labels of every image, and call ``done`` with each file that has been read."""
    from rotated_atss.dota.labels import read_labels

    labels = {}
    for image, path in files.items():
        labels[image] = read_labels(path, classes)
        done(path)
    return labels
