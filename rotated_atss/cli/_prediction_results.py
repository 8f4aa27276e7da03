"""Write the result files of ``predict`` from the record files of all images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.cli._format_option import DOTA
from rotated_atss.cli._prediction_files import DETECTIONS, PredictionFiles
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError, count_of


@dataclass(frozen=True)
class CocoIds:
    """Ids for results in COCO's format.

    Attributes:
        images: Image ids by file name without suffix.
        categories: Category id of each class, in the order of the model's classes.
    """

    images: dict[str, int]
    categories: list[int]


def find_coco_ids(paths: Sequence[Path], model_classes: Sequence[str], annotations: str | None) -> CocoIds:
    """Look up image and category ids in an instances JSON, or assign new ids if there is no such file.

    Args:
        paths: The image files.
        model_classes: Class names in the order of the labels.
        annotations: Path of the instances JSON; None assigns new ids.

    Raises:
        UserError: The file cannot be read, or has no id for an image or a class.

    Example:
        >>> find_coco_ids([Path("b/P1.png"), Path("b/P2.png")], ["plane", "ship"], None)
        CocoIds(images={'P1': 1, 'P2': 2}, categories=[1, 2])
    """
    from rotated_atss.coco.instances import category_ids, read_instances
    from rotated_atss.coco.results_file import assign_image_ids, default_category_ids, match_image_ids

    if not annotations:
        return CocoIds(assign_image_ids([path.stem for path in paths]), default_category_ids(model_classes))
    instances = read_instances(annotations)
    ids_by_file_name = match_image_ids([path.name for path in paths], instances)
    image_ids = {path.stem: ids_by_file_name[path.name] for path in paths}
    return CocoIds(image_ids, category_ids(instances, model_classes))


def reject_stale_detections(folder: Path, names: Sequence[str]) -> None:
    """Refuse an output folder with Task1 files of other classes, which would mix with the results of this run.

    Args:
        folder: Folder of Task1 files; it need not exist.
        names: Hyphenated names of the classes for which this run writes files.

    Raises:
        UserError: The folder has a Task1 file of another class.

    Example:
        >>> reject_stale_detections(Path("no/such/folder"), ["ship"])
    """
    for path in sorted(folder.glob("Task1_*.txt")):
        if path.stem.removeprefix("Task1_") not in names:
            hint = "remove it, or choose another --out"
            raise UserError("detections of an earlier run that this run would not replace", where=path, hint=hint)


def write_result_files(
    files: PredictionFiles,
    model_classes: Sequence[str],
    classes: Sequence[str],
    ids: CocoIds | None,
    paths: Sequence[Path],
    args: argparse.Namespace,
    records: Sequence[Path],
) -> str:
    """Write the result files, and return a one-line summary.

    Args:
        files: The files of the run.
        model_classes: Class names in the order of the labels.
        classes: Names of the classes for which Task1 files are written.
        ids: Ids for the COCO results; None if none are written.
        paths: All image files.
        args: Arguments of ``predict``.
        records: Record files with the detections of the finished images.
    """
    from rotated_atss.coco.results_file import ids_path
    from rotated_atss.tiling.prediction_results import CocoWriter, ResultWriter, Task1Writer, write_results

    writers: list[ResultWriter] = []
    formats, hyphenated_model_classes = args.format.split(","), list(map(hyphenate, model_classes))
    if DOTA in formats:
        task1_folder = files.results / DETECTIONS
        writers.append(Task1Writer(task1_folder, hyphenated_model_classes, list(map(hyphenate, classes))))
    if set(formats) - {DOTA}:
        from rotated_atss.tiling.feature_writer import FeatureWriter

        vector_formats = [name for name in formats if name != DOTA]
        writers.append(FeatureWriter(files.results, vector_formats, hyphenated_model_classes))
    if ids is not None:
        writers.append(CocoWriter(files.temporary_path(args.json), ids.images, ids.categories))
        if not args.coco_annotations:  # the ids are new
            _write_coco_ids(files.temporary_path(ids_path(args.json)), ids, paths, model_classes)
    num_detections, num_above_score = write_results(records, writers, args.score)
    counts = f"{count_of(len(records), 'image')}, {count_of(num_detections, 'detection')}"
    return f"{counts}, {num_above_score} of them with a score of at least {args.score:g}"


def _write_coco_ids(path: Path, ids: CocoIds, paths: Sequence[Path], model_classes: Sequence[str]) -> None:
    """Write the ids file of the COCO results (see :func:`rotated_atss.coco.results_file.ids_path`)."""
    from rotated_atss.io.files import write_json

    images = [{"id": ids.images[path.stem], "file_name": path.name} for path in paths]
    categories = [{"id": category_id, "name": name} for category_id, name in zip(ids.categories, model_classes)]
    write_json(path, {"images": images, "categories": categories})
