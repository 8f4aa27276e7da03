"""Choose the images of the viewer, and collect their boxes from an evaluation report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from rotated_atss.analysis.evaluation.error_kinds import KINDS
from rotated_atss.analysis.evaluation.image_table import best_and_worst
from rotated_atss.analysis.evaluation.report import EvaluationReport
from rotated_atss.analysis.evaluation.tables import detection_states, object_ious
from rotated_atss.report.viewer_data import ObjectState, ViewerDetection, ViewerImage, ViewerObject


def choose_images(report: EvaluationReport, images: Mapping[str, Path], max_images: int) -> list[str]:
    """Choose the images that get a viewer page.

    The worst and the best images of the report are chosen first, then the other images in descending order of their
    number of false positives and missed objects.

    Args:
        report: The report.
        images: Image files by image id.
        max_images: Maximum number of images.

    Returns:
        Ids of the chosen images, in the order of the report.

    Example::

        choose_images(report, {"P1": Path("images/P1.png")}, max_images=100)
    """
    best, worst = best_and_worst(report.images)
    num_errors = {row.image: row.counts.fp + row.counts.fn for row in report.images}
    most_errors_first = sorted(num_errors, key=lambda image_id: -num_errors[image_id])
    ranked_ids = dict.fromkeys([*worst, *best, *most_errors_first])  # a dict, because it removes duplicates
    chosen_ids = [image_id for image_id in ranked_ids if image_id in images][:max_images]
    index_of = {image_id: index for index, image_id in enumerate(report.data.images)}
    return sorted(chosen_ids, key=index_of.__getitem__)


def viewer_images(
    report: EvaluationReport, images: Mapping[str, Path], chosen_ids: Iterable[str]
) -> Iterator[ViewerImage]:
    """Yield each chosen image with its objects and with its detections that reach the score threshold.

    Args:
        report: The report.
        images: Image files by image id.
        chosen_ids: Ids of the images.

    Example::

        write_viewer(viewer_images(report, images, chosen_ids), out, classes=report.data.classes)
    """
    data = report.data
    states = detection_states(report)
    ious, _ = object_ious(report)
    is_detected = report.matches.detected_objects(report.above_threshold, len(data.objects))
    # Sort the detections by image, so that those of one image are neighbors. The objects are already sorted by image.
    det_index = np.flatnonzero(report.above_threshold)
    det_index = det_index[np.argsort(data.detections.image_index[det_index], kind="stable")]
    det_image_index = data.detections.image_index[det_index]
    index_of = {image_id: index for index, image_id in enumerate(data.images)}

    def to_object(gt: int) -> ViewerObject:
        state: ObjectState = "matched" if is_detected[gt] else "missed"
        if data.objects.ignored[gt]:
            state = "ignored"
        return ViewerObject(data.objects.polygons[gt].tolist(), data.classes[data.objects.labels[gt]], state)

    def to_detection(det: int) -> ViewerDetection:
        kind_index = int(report.error_kinds.kind[det])  # -1 if the detection is not an error
        return ViewerDetection(
            data.detections.polygons[det].tolist(),
            data.classes[data.detections.labels[det]],
            score=float(data.detections.scores[det]),
            iou=float(ious[det]),
            state=states[det],
            error=KINDS[kind_index] if kind_index >= 0 else "",
        )

    for image_id in chosen_ids:
        image_index = index_of[image_id]
        first_object, end_object = np.searchsorted(data.objects.image_index, [image_index, image_index + 1]).tolist()
        first_det, end_det = np.searchsorted(det_image_index, [image_index, image_index + 1]).tolist()
        yield ViewerImage(
            image_id,
            images[image_id],
            [to_object(gt) for gt in range(first_object, end_object)],
            [to_detection(det) for det in det_index[first_det:end_det].tolist()],
        )
