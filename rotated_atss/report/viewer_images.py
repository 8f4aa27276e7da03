"""Boxes of the viewer pages, from an evaluation report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from rotated_atss.analysis.evaluation.error_kinds import KINDS
from rotated_atss.analysis.evaluation.image_table import best_and_worst
from rotated_atss.analysis.evaluation.report import EvaluationReport
from rotated_atss.analysis.evaluation.tables import detection_states, object_ious
from rotated_atss.report.viewer_data import ObjectState, ViewerDetection, ViewerImage, ViewerObject


def choose_images(report: EvaluationReport, images: Mapping[str, Path], limit: int) -> list[str]:
    """Choose the images that get a viewer page, in order of the report.

    The best and the worst images come first, then those with the most false positives and missed objects.

    Args:
        report: The report.
        images: Image files by image id.
        limit: Largest number of images.

    Example::

        choose_images(report, {"P1": Path("images/P1.png")}, limit=100)
    """
    best, worst = best_and_worst(report.images)
    errors = {row.image: row.counts.fp + row.counts.fn for row in report.images}
    ranked = sorted(errors, key=lambda image: -errors[image])
    chosen = [image for image in dict.fromkeys([*worst, *best, *ranked]) if image in images][:limit]
    order = {image: index for index, image in enumerate(report.data.images)}
    return sorted(chosen, key=order.__getitem__)


def viewer_images(report: EvaluationReport, images: Mapping[str, Path], chosen: Iterable[str]) -> Iterator[ViewerImage]:
    """Yield the objects and the detections above the score threshold of each chosen image.

    Args:
        report: The report.
        images: Image files by image id.
        chosen: Ids of the images.

    Example::

        write_viewer(viewer_images(report, images, chosen), out, classes=report.data.classes)
    """
    data = report.data
    states, (ious, _) = detection_states(report), object_ious(report)
    above = np.flatnonzero(report.above_threshold)
    above = above[np.argsort(data.detections.images[above], kind="stable")]
    number_of = {image: index for index, image in enumerate(data.images)}
    found = report.matches.detected_objects(report.above_threshold, len(data.objects))

    def to_object(row: int) -> ViewerObject:
        state: ObjectState = "ignored" if data.objects.ignored[row] else "matched" if found[row] else "missed"
        return ViewerObject(data.objects.polygons[row].tolist(), data.classes[data.objects.labels[row]], state)

    def to_detection(row: int) -> ViewerDetection:
        kind = int(report.kinds.kind[row])
        return ViewerDetection(
            data.detections.polygons[row].tolist(),
            data.classes[data.detections.labels[row]],
            float(data.detections.scores[row]),
            float(ious[row]),
            states[row],
            KINDS[kind] if kind >= 0 else "",
        )

    for image in chosen:
        number = [number_of[image], number_of[image] + 1]
        objects = range(*np.searchsorted(data.objects.images, number).tolist())
        rows = above[slice(*np.searchsorted(data.detections.images[above], number).tolist())]
        yield ViewerImage(image, images[image], list(map(to_object, objects)), list(map(to_detection, rows.tolist())))
