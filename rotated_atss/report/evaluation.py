"""Write the report of an evaluation from its result, its detections and its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotated_atss.analysis.evaluation.ap_values import ApValues, from_coco_result, from_task1_result
from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.from_coco import MAX_DETS, from_coco
from rotated_atss.analysis.evaluation.from_task1 import from_task1
from rotated_atss.analysis.evaluation.report import ReportSettings, build_report
from rotated_atss.coco.coco_result import CocoResult
from rotated_atss.coco.instances import Instances
from rotated_atss.dota.ap_result import EvaluationResult
from rotated_atss.dota.detections import Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.task1_evaluation import IOU_THRESHOLDS
from rotated_atss.errors import count_of, printable
from rotated_atss.report.build import MAX_IMAGES, write_report
from rotated_atss.report.image_files import find_images_by_id


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of a report: its folder, and what it contains.

    Attributes:
        out: Folder of the report.
        detections: Folder or file of the detections. The path is only named in the report, not read.
        labels: Label folders or annotation file. The paths are only named in the report, not read.
        images: Folders of the full images. If there are none, the report has no pictures.
        max_images: Maximum number of images in the viewer.
        score: Score threshold of precision, recall and counts. None selects the threshold with the highest F1 over all
            classes together.
        baseline: Content of the ``report.json`` of another run, with which the report is compared.
        assignment: Content of the file that ``assignment-stats --json`` writes, or None. The report includes it.
        workers: Number of threads.
        progress: Show a progress bar over the images; None shows it on a terminal.
    """

    out: str | Path
    detections: str | Path = ""
    labels: Sequence[str | Path] = ()
    images: Sequence[str | Path] = ()
    max_images: int = MAX_IMAGES
    score: float | None = None
    baseline: dict[str, Any] | None = None
    assignment: dict[str, Any] | None = None
    workers: int = 1
    progress: bool | None = False


def report_task1(
    result: EvaluationResult,
    detections: Mapping[str, Detections],
    labels: Mapping[str, Labels],
    options: ReportOptions,
    log: Callable[[str], object] = print,
) -> Path:
    """Write the report of an evaluation of Task1 detections.

    Args:
        result: Result of the evaluation.
        detections: The evaluated detections by class.
        labels: Labels by image id.
        options: Folder and content of the report.
        log: Function that shows a line to the user.

    Returns:
        Path of ``index.html``.

    Raises:
        UserError: The folder has other content or cannot be written, or a folder of images is missing.

    Example::

        result = evaluate_detections(detections, labels, classes=classes)
        report_task1(result, detections, labels, ReportOptions(out="report"))
    """
    data = from_task1(
        detections, labels, list(result.per_class), metric=result.metric, dataset=result.dataset,
        difficult=result.difficult,
    )  # fmt: skip
    return _write_report(data, from_task1_result(result), result.dataset, result.iou_thresholds, options, log)


def report_coco(
    result: CocoResult,
    instances: Instances,
    detections: Sequence[dict],
    options: ReportOptions,
    *,
    image_ids: Sequence[int] | None = None,
    categories: Sequence[int] | None = None,
    max_dets: int = MAX_DETS,
    log: Callable[[str], object] = print,
) -> Path:
    """Write the report of COCO's evaluation of horizontal boxes.

    Args:
        result: Result of :func:`rotated_atss.coco.bbox_evaluation.evaluate_boxes`.
        instances: Ground truth.
        detections: The evaluated detections, in the format of the rows of a COCO results file.
        options: Folder and content of the report.
        image_ids: Ids of the evaluated images; None for all.
        categories: Ids of the evaluated categories; None for all.
        max_dets: Maximum number of detections per image and class.
        log: Function that shows a line to the user.

    Returns:
        Path of ``index.html``.

    Raises:
        UserError: The folder has other content or cannot be written, or a folder of images is missing.

    Example::

        report_coco(evaluate_boxes(instances, rows), instances, rows, ReportOptions(out="report"))
    """
    data = from_coco(instances, detections, image_ids=image_ids, categories=categories, max_dets=max_dets)
    # CocoResult does not contain its IoU thresholds. They are 0.5, 0.55, ..., 0.95, as in the DOTA evaluation.
    return _write_report(data, from_coco_result(result), "COCO", IOU_THRESHOLDS, options, log)


def _write_report(
    data: EvaluationData,
    ap: ApValues,
    dataset: str,
    iou_thresholds: Sequence[float],
    options: ReportOptions,
    log: Callable[[str], object],
) -> Path:
    settings = ReportSettings(
        dataset=dataset, iou_thresholds=iou_thresholds, detections=str(options.detections),
        labels=[str(path) for path in options.labels], score_threshold=options.score, assignment=options.assignment,
    )  # fmt: skip
    images = find_images_by_id(data.images, options.images)
    if options.images:
        log(_describe_images(len(images), data.images, options.images))
    report = build_report(data, ap, settings, workers=options.workers)
    if len(data.detections.scores) and not (data.detections.scores >= report.score_threshold).any():
        log(f"no detection has a score of at least {report.score_threshold:g}: all counts of detections are 0")
    page = write_report(report, options.out, images, options.baseline, options.max_images, progress=options.progress)
    log(f"report: {page}")
    return page


def _describe_images(num_found: int, ids: Sequence[str], folders: Sequence[str | Path]) -> str:
    """Describe how many of the images with these ids were found in the folders."""
    text = f"{num_found} of {count_of(len(ids), 'image')} found in {', '.join(map(str, folders))}"
    if num_found == 0:
        example = f" (for example, no file for image {printable(ids[0])})" if ids else ""
        return f"{text}; the report has no pictures{example}"
    return text if num_found == len(ids) else f"{text}; the others have no picture"
