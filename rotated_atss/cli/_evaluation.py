"""Read and evaluate Task1 detections, for the commands ``evaluate`` and ``report``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rotated_atss.dota.ap_result import EvaluationResult
    from rotated_atss.dota.detections import Detections
    from rotated_atss.dota.labels import Labels


@dataclass(frozen=True)
class Task1Evaluation:
    """An evaluation of Task1 detections, with its inputs.

    Attributes:
        result: The average precisions.
        detections: Detections of the evaluated classes, by class name.
        labels: Labels by image id.
        unevaluated_classes: Sorted names of the classes that occur in the files but are not evaluated.
    """

    result: EvaluationResult
    detections: Mapping[str, Detections]
    labels: Mapping[str, Labels]
    unevaluated_classes: list[str]


def list_task1_inputs(args: argparse.Namespace) -> list[Path]:
    """List the Task1 files and the label files that a command reads.

    Args:
        args: Arguments with ``detections`` and ``labels``.

    Raises:
        UserError: A folder is missing, contains no Task1 files or no label files, or an image has two label files.

    Example::

        list_task1_inputs(args)
    """
    from rotated_atss.dota.detections import list_task1_files

    return [*list_task1_files(args.detections).values(), *_list_label_files(args.labels).values()]


def evaluate_task1(args: argparse.Namespace, classes: tuple[str, ...]) -> Task1Evaluation:
    """Read and evaluate Task1 detections, with a progress bar that counts the bytes read and evaluated.

    Args:
        args: Arguments of the command ``evaluate`` or ``report``.
        classes: Names of the classes to evaluate. Other classes in the files are an error, unless the user has selected
            classes with ``--classes``.

    Raises:
        UserError: A file is missing or malformed, a class is unknown, or a detection lies on an image without labels
            and ``--ignore-unlabeled`` is not given.

    Example::

        evaluate_task1(args, resolve_classes(args.classes or args.dataset)).result.ap50
    """
    from rotated_atss.dota.detections import list_task1_files, read_task1_folder
    from rotated_atss.dota.task1_evaluation import evaluate_detections
    from rotated_atss.io.progress import progress_bar

    task1_files, label_files = list_task1_files(args.detections), _list_label_files(args.labels)
    file_bytes = {path: path.stat().st_size for path in (*task1_files.values(), *label_files.values())}
    # The bytes of a Task1 file are counted twice: when it is read, and when its class is evaluated.
    total_bytes = sum(file_bytes.values()) + sum(file_bytes[path] for path in task1_files.values())
    workers = resolve_workers(args)
    show = False if args.quiet else None  # None shows the bar on a terminal only
    with progress_bar(total=total_bytes, desc="evaluate", unit="B", leave=False, show=show) as bar:

        def on_read(path: Path) -> None:
            bar.update(file_bytes[path])

        def on_evaluated(name: str) -> None:
            if name in task1_files:  # a class without detections has no file
                bar.update(file_bytes[task1_files[name]])

        # Unknown classes are skipped for now. They are rejected below, when the classes of all files are known and can
        # be listed in the message.
        detections = read_task1_folder(args.detections, classes, skip_unknown=True, workers=workers, on_done=on_read)
        labels = _read_labels(label_files, on_read)
        locations = _locate_classes(task1_files, label_files, labels)
        if args.classes:
            _reject_misspelled_classes(classes, locations)
        else:
            _reject_other_classes(classes, locations)
        result = evaluate_detections(
            detections,
            labels,
            classes=classes,
            metric=args.metric,
            dataset=args.dataset,
            difficult=args.difficult,
            ignore_unlabeled=args.ignore_unlabeled,
            workers=workers,
            on_done=on_evaluated,
        )
        return Task1Evaluation(result, detections, labels, sorted(set(locations) - set(classes)))


def resolve_workers(args: argparse.Namespace) -> int:
    """Return the number of threads that ``--workers`` selects, by default one per core.

    Raises:
        UserError: ``--workers`` is below 1.

    Example:
        >>> resolve_workers(argparse.Namespace(workers=3))
        3
    """
    from rotated_atss.io.processes import available_cores

    workers = available_cores() if args.workers is None else args.workers
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, got {workers}", where="--workers")
    return workers


def _locate_classes(
    task1_files: Mapping[str, Path], label_files: Mapping[str, Path], labels: Mapping[str, Labels]
) -> dict[str, str]:
    """Return the first occurrence of each class in Task1 files and labels, as ``path`` or ``path:line``."""
    locations = {name: str(path) for name, path in task1_files.items()}
    for image, image_labels in labels.items():
        for name, line_number in zip(image_labels.names, image_labels.line_numbers):
            if name not in locations:
                locations[name] = f"{label_files[image]}:{line_number}"
    return locations


def _reject_misspelled_classes(classes: tuple[str, ...], locations: Mapping[str, str]) -> None:
    """Reject a class of ``--classes`` that is probably misspelled, because no file and no known dataset contains it."""
    from rotated_atss.dota.classes import CLASSES, unknown_class_hint
    from rotated_atss.dota.datasets import DATASETS

    for name in classes:
        if name not in locations and not any(name in dataset.classes for dataset in DATASETS.values()):
            hint = unknown_class_hint(name, CLASSES["v2.0"])  # v2.0 has the classes of all DOTA versions
            raise UserError(f"unknown class '{name}'", where="--classes", hint=hint)


def _reject_other_classes(classes: tuple[str, ...], locations: Mapping[str, str]) -> None:
    """Reject files with classes that are not in ``classes``, and suggest ``--classes``."""
    from rotated_atss.dota.classes import CLASSES, unknown_class_hint

    for name, location in locations.items():
        if name not in classes:
            hint = unknown_class_hint(name, classes)
            if name not in CLASSES["v2.0"]:  # v2.0 has the classes of all DOTA versions
                # The comma after a single name is necessary. Without it, --classes expects a dataset or a file.
                listed = ",".join(sorted(locations)) if len(locations) > 1 else f"{name},"
                hint = f"{hint}; if the classes are your own, add --classes {listed}"
            raise UserError(f"unknown class '{name}'", where=location, hint=hint)


def _list_label_files(folders: list[str]) -> dict[str, Path]:
    """Return the label files by image id.

    Raises:
        UserError: A folder contains no label files, or an image has label files in two folders.
    """
    from rotated_atss.dota.folders import list_label_files

    by_image: dict[str, Path] = {}
    for folder in folders:
        files = list_label_files(folder)
        if not files:
            raise UserError("no label files (.txt) in this folder", where=folder)
        for path in files:
            first_path = by_image.setdefault(path.stem, path)
            if first_path != path:
                raise UserError(f"the image {path.stem} also has a label file in {first_path.parent}", where=path)
    return by_image


def _read_labels(files: Mapping[str, Path], on_done: Callable[[Path], object]) -> dict[str, Labels]:
    """Read label files by image id, and call ``on_done`` with the path of each file after it is read."""
    from rotated_atss.dota.labels import read_labels

    labels = {}
    for image, path in files.items():
        labels[image] = read_labels(path)
        on_done(path)
    return labels
