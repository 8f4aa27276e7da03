"""Finish a test on tiles: merge the detections, write Task1 files and a submission, and evaluate on full images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.dota.ap_result import EvaluationResult, format_table, result_to_json
from rotated_atss.dota.datasets import DATASETS
from rotated_atss.dota.detections import Detections, write_task1_folder
from rotated_atss.dota.labels import Labels, read_labels
from rotated_atss.dota.submission import write_submission
from rotated_atss.dota.task1_evaluation import DIFFICULT_RULES, METRICS, evaluate_detections
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.files import write_json
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes, to_task1
from rotated_atss.tiling.merge_polygons import IOU_THRESHOLD

Log = Callable[[str], None]
TEST_RESULT = "test_result.json"
"""File in the work folder with the result of a test, which is also the last line that the test prints."""
Observer = Callable[[Mapping[str, Detections], Mapping[str, Labels], EvaluationResult], None]
"""Called with the merged detections by class name, the labels by image id, and the result of the evaluation."""


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """Evaluation rules and output files of a test on tiles.

    Attributes:
        dataset: DOTA version or another key of :data:`rotated_atss.dota.datasets.DATASETS`; its evaluation rules apply.
            DOTA-v1.0 ignores difficult objects; the other versions count them.
        iou_threshold: IoU threshold of the NMS that merges the detections on tiles.
        metric: ``voc07`` (11-point interpolation), ``area`` (area under the precision-recall curve) or ``coco``
            (COCO's matching and 101 points, also by object size); None uses the metric of the dataset.
        difficult: ``ignore`` or ``count`` difficult objects; None uses the rule of the dataset.
        out_dir: Folder for the merged ``Task1_<class>.txt`` and ``ap.json``; None writes neither.
        submission: Path of the zip file for the evaluation server; None writes none.
        report_dir: Folder for the report of the evaluation; None writes none.

    Raises:
        UserError: The dataset, metric or rule is unknown, or the threshold is out of range.

    Example:
        >>> ResultOptions(dataset="v1.5").iou_threshold
        0.1
    """

    dataset: str = "v1.0"
    iou_threshold: float = IOU_THRESHOLD
    metric: str | None = None
    difficult: str | None = None
    out_dir: str | Path | None = None
    submission: str | Path | None = None
    report_dir: str | Path | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("dataset", DATASETS),
            ("metric", (None, *METRICS)),
            ("difficult", (None, *DIFFICULT_RULES)),
        ):
            value = getattr(self, name)
            if value not in choices:
                choices_text = ", ".join(filter(None, choices))
                raise UserError(f"{name} of the evaluation must be one of {choices_text}, got {value!r}")
        if not 0 <= self.iou_threshold <= 1:
            raise UserError(f"iou_threshold of the evaluation must be between 0 and 1, got {self.iou_threshold}")


def finish_test(
    tiles: Sequence[BoxDetections],
    classes: Sequence[str],
    options: ResultOptions,
    *,
    label_folders: Sequence[str | Path] = (),
    image_folders: Sequence[str | Path] = (),
    notes: Sequence[str] = (),
    log: Log = print,
    observer: Observer | None = None,
) -> dict[str, float]:
    """Merge the detections of tiles, write the requested files and evaluate.

    Args:
        tiles: Detections of all tiles.
        classes: Class names in the order of the class indices.
        options: Rules of merging and evaluation, and outputs.
        label_folders: Label folders of the full images; if empty, nothing is evaluated.
        image_folders: Folders of the full images, for the pictures of the report.
        notes: Reasons why the AP is not comparable, such as missing tiles; printed and written to ``ap.json``.
        log: Called with each line or table.
        observer: Called with the merged detections by class name, the labels by image id and the result of the
            evaluation.

    Returns:
        ``AP50``, ``AP75`` and ``AP50_95``. The metric ``coco`` adds ``AP50_95`` by object size. Without labels, the
        dict is empty.

    Raises:
        UserError: An image has no label file, or an output cannot be written.

    Example:
        >>> import numpy as np
        >>> tile = BoxDetections("P1", np.array([[9.0, 9, 4, 4, 0]]), np.array([0.5]), np.array([0]))
        >>> finish_test([tile], ["ship"], ResultOptions())
        merged 1 detection on 1 tile into 1 detection on 1 image
        no labels of the full images are available: nothing is evaluated (set them with --labels)
        {}
    """
    merged = merge_boxes(tiles, options.iou_threshold)
    detections = to_task1(merged, classes)
    num_on_tiles = sum(len(tile.scores) for tile in tiles)
    num_merged = sum(map(len, detections.values()))
    log(
        f"merged {count_of(num_on_tiles, 'detection')} on {count_of(len(tiles), 'tile')} "
        f"into {count_of(num_merged, 'detection')} on {count_of(len(merged), 'image')}"
    )
    if options.out_dir is not None:
        write_task1_folder(options.out_dir, detections)
        log(f"wrote Task1_*.txt to {options.out_dir}")
    if options.submission is not None:
        write_submission(options.submission, detections, classes)
        warning = "" if num_merged else ", which contains no detection"
        log(f"wrote {options.submission}{warning}")
    if not label_folders:
        no_report = "" if options.report_dir is None else ", no report is written"
        log(f"no labels of the full images are available: nothing is evaluated{no_report} (set them with --labels)")
        return {}
    log(f"labels of the full images: {', '.join(str(Path(folder).resolve()) for folder in label_folders)}")
    labels_by_image = read_labels_of_images(label_folders, [image.name for image in merged], classes)
    result = _evaluate(detections, labels_by_image, options, notes, log, observer)
    if options.report_dir is not None:
        _write_report(result, detections, labels_by_image, options, label_folders, image_folders, log)
    ap_by_size = list(result.by_size.items())[1:]  # the first entry, AP of all sizes, is also in result.values()
    return {**result.values(), **{f"AP50_95 {name}": value for name, value in ap_by_size}}


def _evaluate(
    detections: Mapping[str, Detections],
    labels_by_image: Mapping[str, Labels],
    options: ResultOptions,
    notes: Sequence[str],
    log: Log,
    observer: Observer | None,
) -> EvaluationResult:
    """Evaluate, print the table and write ``ap.json``."""
    result = evaluate_detections(
        detections, labels_by_image, metric=options.metric, difficult=options.difficult, dataset=options.dataset
    )
    if observer is not None:
        observer(detections, labels_by_image, result)
    log("\n".join(["on merged full images", format_table(result), *notes]))
    if options.out_dir is not None:
        content = dict(result_to_json(result))
        if notes:
            content["notes"] = list(notes)
        write_json(Path(options.out_dir) / "ap.json", content)
    return result


def _write_report(
    result: EvaluationResult,
    detections: Mapping[str, Detections],
    labels_by_image: Mapping[str, Labels],
    options: ResultOptions,
    label_folders: Sequence[str | Path],
    image_folders: Sequence[str | Path],
    log: Log,
) -> None:
    """Write the report of the evaluation."""
    from rotated_atss.report.evaluation import ReportOptions, report_task1

    report = ReportOptions(
        out=options.report_dir or "",
        detections=options.out_dir or "",  # the report shows this path but does not read the folder
        labels=label_folders,
        images=[folder for folder in image_folders if os.path.isdir(folder)],
    )
    report_task1(result, detections, labels_by_image, report, log)


def read_labels_of_images(
    folders: Sequence[str | Path], image_ids: Sequence[str], classes: Sequence[str]
) -> dict[str, Labels]:
    """Read the label files of images from several folders.

    Args:
        folders: Label folders. Labels are read from the first folder that contains ``<image id>.txt``.
        image_ids: Names of the images without suffix.
        classes: Class names.

    Returns:
        Labels by image id.

    Raises:
        UserError: An image has no label file in any of the folders.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     read_labels_of_images([folder], ["P1"], DATASETS["v1.0"].classes)["P1"].names
        ('ship',)
    """
    labels = {}
    for image_id in image_ids:
        candidates = [Path(folder) / f"{image_id}.txt" for folder in folders]
        paths = [path for path in candidates if path.is_file()]
        if not paths:
            raise UserError(
                f"no label file for the image {image_id}",
                where=", ".join(map(str, folders)),
                hint="add its folder with --labels",
            )
        labels[image_id] = read_labels(paths[0], classes=classes)
    return labels
