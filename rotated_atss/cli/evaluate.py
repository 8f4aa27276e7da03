"""``rotated-atss evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.dota.datasets import DATASET_NAMES
from rotated_atss.errors import UserError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotated_atss.dota.ap_result import EvaluationResult
    from rotated_atss.dota.labels import Labels

HELP = (
    "Compute the average precision (AP) of merged detections on full images from text files, with the rules of DOTA or "
    "of another dataset. With --coco-annotations: COCO's twelve metrics of a results JSON."
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
        "--dataset", "--dota-version", dest="dataset", default="v1.0", choices=DATASET_NAMES, metavar="NAME",
        help=f"dataset, which sets the classes and rules: {', '.join(DATASET_NAMES)} (default: v1.0, of DOTA)",
    )  # fmt: skip
    rules.add_argument(
        "--metric", choices=("voc07", "area", "coco"),
        help="voc07: 11-point interpolated AP, as DOTA; area: area under the precision envelope; coco: COCO's matching "
        "and 101 points, also by object size (default: that of the dataset)",
    )  # fmt: skip
    add_classes_argument(rules, "classes to evaluate, such as those of your data", "those of --dataset")
    rules.add_argument(
        "--difficult", choices=("ignore", "count"),
        help="ignore difficult objects and the detections matched to them, or count them like any other object "
        "(default: ignore for DOTA v1.0, count for the others)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    return _run_coco(args) if args.coco_annotations else _run_dota(args)


def _run_coco(args: argparse.Namespace) -> int:
    from rotated_atss.coco.bbox_evaluation import evaluate_boxes
    from rotated_atss.coco.coco_result import format_table, result_to_json
    from rotated_atss.coco.instances import read_instances
    from rotated_atss.coco.results_file import read_results
    from rotated_atss.io.files import check_output_apart, write_json

    rules = (args.metric, args.dataset, args.classes, args.difficult, args.ignore_unlabeled)
    if rules != (None, "v1.0", None, None, False):
        options = "--metric, --dataset, --dota-version, --classes, --difficult and --ignore-unlabeled"
        raise UserError(f"{options} do not apply with --coco-annotations")
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

    classes = resolve_classes(args.classes or args.dataset)
    result, left_out = _evaluate_with_progress(args, classes)
    print(format_table(result))
    if left_out:
        print(f"not evaluated (not in --classes): {printable(', '.join(left_out))}")
    files = list_task1_files(args.detections)
    missing = [name for name in classes if name not in files and result.per_class[name].npos]
    if missing:
        print(f"classes without a Task1 file, evaluated with no detections: {printable(', '.join(missing))}")
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

        detections = read_task1_folder(args.detections, classes, skip_unknown=True, workers=workers, on_done=on_read)
        labels = _read_labels(label_files, on_read)
        place_of = _places_of_classes(files, label_files, labels)
        if args.classes:
            _reject_missing_classes(classes, place_of)
        else:
            _reject_other_classes(classes, place_of)
        result = evaluate_detections(
            detections,
            labels,
            classes=classes,
            metric=args.metric,
            version=args.dataset,
            difficult=args.difficult,
            ignore_unlabeled=args.ignore_unlabeled,
            workers=workers,
            on_done=on_evaluated,
        )
        return result, sorted(set(place_of) - set(classes))


def _places_of_classes(
    files: Mapping[str, Path], label_files: Mapping[str, Path], labels: Mapping[str, Labels]
) -> dict[str, str]:
    """Return the first ``path`` or ``path:line`` of each class that the Task1 files and the labels contain."""
    place_of = {name: str(path) for name, path in files.items()}
    for image, label_set in labels.items():
        for name, line_number in zip(label_set.names, label_set.line_numbers):
            if name not in place_of:
                place_of[name] = f"{label_files[image]}:{line_number}"
    return place_of


def _reject_missing_classes(classes: tuple[str, ...], place_of: Mapping[str, str]) -> None:
    """Refuse a class of ``--classes`` that neither a dataset nor any file contains."""
    from rotated_atss.dota.classes import CLASSES, unknown_class_hint
    from rotated_atss.dota.datasets import DATASETS

    for name in classes:
        if name not in place_of and not any(name in dataset.classes for dataset in DATASETS.values()):
            hint = unknown_class_hint(name, CLASSES["v2.0"])
            raise UserError(f"unknown class '{name}'", where="--classes", hint=hint)


def _reject_other_classes(classes: tuple[str, ...], place_of: Mapping[str, str]) -> None:
    """Refuse files with other classes than those of the dataset, and suggest ``--classes``."""
    from rotated_atss.dota.classes import CLASSES, unknown_class_hint

    for name, place in place_of.items():
        if name not in classes:
            hint = unknown_class_hint(name, classes)
            if name not in CLASSES["v2.0"]:
                listed = ",".join(sorted(place_of)) if len(place_of) > 1 else f"{name},"
                hint = f"{hint}; if the classes are your own, add --classes {listed}"
            raise UserError(f"unknown class '{name}'", where=place, hint=hint)


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


def _read_labels(files: Mapping[str, Path], done: Callable[[Path], object]) -> dict[str, Labels]:
    """Read the labels of every image, and call ``done`` with each file that has been read."""
    from rotated_atss.dota.labels import read_labels

    labels = {}
    for image, path in files.items():
        labels[image] = read_labels(path)
        done(path)
    return labels
