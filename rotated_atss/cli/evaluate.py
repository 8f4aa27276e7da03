"""``rotated-atss evaluate``: average precision of merged detections."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.dota.classes import DOTA_VERSIONS
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotated_atss.dota.detections import Detections
    from rotated_atss.dota.evaluation_result import EvaluationResult
    from rotated_atss.dota.labels import Labels

HELP = (
    "Average precision of merged detections on full images, as DOTA's evaluation counts it, from text files alone; or "
    "COCO's twelve numbers of a results JSON."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``evaluate``."""
    parser.add_argument(
        "--detections", required=True, metavar="DIR",
        help="folder of merged Task1_<class>.txt; no file, no detections (COCO: the results JSON)",
    )  # fmt: skip
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument(
        "--labels",
        action="extend",
        nargs="+",
        metavar="DIR",
        help="label files (labelTxt) of the full images; every image with a file is evaluated; may be repeated",
    )
    truth.add_argument("--coco-annotations", metavar="JSON", help="COCO instances instead: horizontal boxes")
    parser.add_argument("--per-class", action="store_true", help="with --coco-annotations: AP of each class too")
    parser.add_argument(
        "--ignore-unlabelled",
        action="store_true",
        help="leave out detections on images without a label file (default: refuse them, as they are mostly a mistake)",
    )
    _add_rules(parser)
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one a core)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar; the table is printed all the same")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table, write the JSON."""
    return _run_coco(args) if args.coco_annotations else _run_dota(args)


def _run_coco(args: argparse.Namespace) -> int:
    import json

    from rotated_atss.coco.bbox_evaluation import evaluate_boxes
    from rotated_atss.coco.evaluation_result import format_table, result_to_json
    from rotated_atss.coco.instances import read_instances
    from rotated_atss.coco.results_file import read_results
    from rotated_atss.io.files import atomic_write

    rules = (args.metric, args.version, args.classes, args.difficult, args.ignore_unlabelled)
    if rules != ("voc07", "v1.0", None, None, False):
        raise UserError("--metric, --version, --classes, --difficult and --ignore-unlabelled are DOTA's rules")
    truth = read_instances(args.coco_annotations)
    result = evaluate_boxes(truth, read_results(args.detections, truth))
    print(format_table(result, args.per_class))
    if args.json:
        atomic_write(args.json, (json.dumps(result_to_json(result), indent=1) + "\n").encode())
    return 0


def _run_dota(args: argparse.Namespace) -> int:
    import json

    from rotated_atss.dota.classes import CLASSES, resolve_classes
    from rotated_atss.dota.detections import list_task1_files
    from rotated_atss.dota.evaluation_result import format_table, result_to_json
    from rotated_atss.io.files import atomic_write

    classes = resolve_classes(args.classes or args.version)
    # Who names classes wants those alone: other classes of DOTA may be there, and are left out.
    known = tuple(dict.fromkeys([*classes, *CLASSES["v2.0"]])) if args.classes else classes
    result = _evaluate_with_progress(args, classes, known)
    print(format_table(result))
    files = list_task1_files(args.detections)
    missing = [name for name in classes if name not in files and result.per_class[name].npos]
    if missing:
        print(f"no Task1 file, so counted as no detections: {', '.join(missing)}")
    if args.json:
        atomic_write(args.json, (json.dumps(result_to_json(result), indent=1) + "\n").encode())
    return 0


def _evaluate_with_progress(
    args: argparse.Namespace, classes: tuple[str, ...], known: tuple[str, ...]
) -> EvaluationResult:
    """Read and evaluate; a terminal sees how far it is, in bytes that are read and then counted."""
    from rotated_atss.dota.detections import list_task1_files, read_task1_folder
    from rotated_atss.dota.task1_evaluation import evaluate_detections
    from rotated_atss.io.processes import available_cores
    from rotated_atss.io.progress import progress_bar

    files, label_files = list_task1_files(args.detections), _find_labels(args.labels)
    bytes_of = {path: path.stat().st_size for path in (*files.values(), *label_files.values())}
    total = sum(bytes_of.values()) + sum(bytes_of[path] for path in files.values())
    workers = args.workers or available_cores()
    show = False if args.quiet else None
    with progress_bar(total=total, desc="evaluate", unit="B", leave=False, show=show) as bar:

        def read(path: Path) -> None:
            bar.update(bytes_of[path])

        def counted(name: str) -> None:
            bar.update(bytes_of[files[name]] if name in files else 0)

        detections = read_task1_folder(args.detections, known, workers=workers, on_done=read)
        labels = _read_labels(label_files, known, read)
        reject_unknown_classes(classes, detections, labels)
        return evaluate_detections(
            {name: detections[name] for name in classes},
            labels,
            metric=args.metric,
            version=args.version,
            difficult=args.difficult,
            ignore_unlabelled=args.ignore_unlabelled,
            workers=workers,
            on_done=counted,
        )


def reject_unknown_classes(
    classes: tuple[str, ...], detections: Mapping[str, Detections], labels: Mapping[str, Labels]
) -> None:
    """A class asked for that DOTA does not have and no file mentions is a slip of the pen."""
    from rotated_atss.dota.classes import CLASSES, unknown_class_hint

    seen = {name for each in labels.values() for name in each.names} | {
        n for n, each in detections.items() if len(each)
    }
    for name in classes:
        if name not in seen and name not in CLASSES["v2.0"]:
            raise UserError(
                f"unknown class '{name}'", where="--classes", hint=unknown_class_hint(name, CLASSES["v2.0"])
            )


def _find_labels(folders: list[str]) -> dict[str, Path]:
    """The label file of every image of the folders, by image id.

    Raises:
        UserError: A folder without label files, or an image in two of them.
    """
    from rotated_atss.dota.folders import list_label_files

    found: dict[str, Path] = {}
    for folder in folders:
        files = list_label_files(folder)
        if not files:
            raise UserError("no label files (.txt) here", where=folder)
        for path in files:
            if found.setdefault(path.stem, path) != path:
                raise UserError(f"the image {path.stem} has a label file in {found[path.stem].parent} too", where=path)
    return found


def _read_labels(
    files: Mapping[str, Path], classes: tuple[str, ...], done: Callable[[Path], object]
) -> dict[str, Labels]:
    """The labels of every image; ``done`` hears of every file. Raises UserError where one is malformed."""
    from rotated_atss.dota.labels import read_labels

    labels = {}
    for image, path in files.items():
        labels[image] = read_labels(path, classes)
        done(path)
    return labels


def _add_rules(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("how it is counted")
    rules.add_argument(
        "--metric",
        default="voc07",
        choices=("voc07", "area"),
        help="voc07 (default): 11 points, as DOTA counts; area: under the precision envelope",
    )
    rules.add_argument(
        "--version",
        default="v1.0",
        choices=DOTA_VERSIONS,
        help="DOTA version (default: v1.0): its classes, and whether difficult objects count",
    )
    rules.add_argument(
        "--classes",
        metavar="CLASSES",
        help="evaluate these alone, names with commas or a file (default: those of --version)",
    )
    rules.add_argument(
        "--difficult",
        choices=("ignore", "count"),
        help="difficult objects: neither found nor missed, or like any other (default: ignore in v1.0, count later)",
    )
