"""Result files of ``predict``, written from the records of all images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.cli._feature_files import DOTA
from rotated_atss.cli._prediction_files import DETECTIONS, PredictionFiles
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError, count_of


@dataclass(frozen=True)
class CocoIds:
    """Ids of the results in COCO's format.

    Attributes:
        images: Image id by the image's name without suffix.
        categories: Category id per class index of the model.
    """

    images: dict[str, int]
    categories: list[int]


def find_coco_ids(paths: Sequence[Path], model_classes: Sequence[str], annotations: str | None) -> CocoIds:
    """Return the ids of an instances JSON, or new ones.

    Args:
        paths: The images.
        model_classes: Class names in the order of the labels.
        annotations: The instances JSON; None numbers images and classes.

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
    by_file = match_image_ids([path.name for path in paths], instances)
    return CocoIds({path.stem: by_file[path.name] for path in paths}, category_ids(instances, model_classes))


def reject_stale_detections(folder: Path, names: Sequence[str]) -> None:
    """Refuse an output folder with detection files of other classes, which would mix with this result.

    Args:
        folder: Folder of Task1 files; it need not exist.
        names: Class names, as in the names of the files that this run writes.

    Raises:
        UserError: There is such a file.

    Example:
        >>> reject_stale_detections(Path("no/such/folder"), ["ship"])
    """
    for path in sorted(folder.glob("Task1_*.txt")):
        if path.stem.removeprefix("Task1_") not in names:
            hint = "remove it, or choose another --out"
            raise UserError("detections of an earlier run that this run would not replace", where=path, hint=hint)


def compose_results(
    files: PredictionFiles,
    model_classes: Sequence[str],
    classes: Sequence[str],
    ids: CocoIds | None,
    paths: Sequence[Path],
    args: argparse.Namespace,
    records: Sequence[Path],
) -> str:
    """Write the result files and return a summary of one line.

    Args:
        files: The files of the run.
        model_classes: Class names in the order of the labels.
        classes: Class names whose detections were kept.
        ids: Ids of the COCO results; None writes none.
        paths: All images.
        args: Arguments of ``predict``.
        records: Files with the detections of the finished images.
    """
    from rotated_atss.coco.results_file import ids_path
    from rotated_atss.tiling.prediction_results import CocoWriter, ResultWriter, Task1Writer, write_results

    writers: list[ResultWriter] = []
    formats, written_names = args.format.split(","), list(map(hyphenate, model_classes))
    if DOTA in formats:
        writers.append(Task1Writer(files.results / DETECTIONS, written_names, list(map(hyphenate, classes))))
    if set(formats) - {DOTA}:
        from rotated_atss.tiling.feature_writer import FeatureWriter

        writers.append(FeatureWriter(files.results, [name for name in formats if name != DOTA], written_names))
    if ids is not None:
        writers.append(CocoWriter(files.temporary_path(args.json), ids.images, ids.categories))
        if not args.coco_annotations:
            _write_coco_ids(files.temporary_path(ids_path(args.json)), ids, paths, model_classes)
    total, shown = write_results(records, writers, args.score)
    counts = f"{count_of(len(records), 'image')}, {count_of(total, 'detection')}"
    return f"{counts}, {shown} of them with a score of at least {args.score:g}"


def _write_coco_ids(path: Path, ids: CocoIds, paths: Sequence[Path], model_classes: Sequence[str]) -> None:
    """Write the list of image and category ids."""
    from rotated_atss.io.files import write_json

    images = [{"id": ids.images[path.stem], "file_name": path.name} for path in paths]
    categories = [{"id": number, "name": name} for number, name in zip(ids.categories, model_classes)]
    write_json(path, {"images": images, "categories": categories})
