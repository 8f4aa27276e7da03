"""Process one image of ``predict``: detect objects, write the picture and record the detections."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.cli._pictures import Layer, write_picture
from rotated_atss.cli._prediction_files import ImageRecords
from rotated_atss.cli._resolution_option import resampling_rate
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.detection.engine.inference import LoadedDetector
    from rotated_atss.io.image_reader import ImageReader
    from rotated_atss.runtime import GraphDetector
    from rotated_atss.tiling.merge_boxes import BoxDetections
    from rotated_atss.tiling.predict import Tiling


def predict_file(
    records: ImageRecords,
    detector: LoadedDetector | GraphDetector,
    tiling: Tiling,
    classes: Sequence[str],
    path: Path,
    args: argparse.Namespace,
) -> None:
    """Detect objects on an image, write the picture and record the detections.

    Args:
        records: Records of the images in the partial folder, which keeps the files of the run until all images are
            finished. This image is added.
        detector: The detector.
        tiling: Settings of the windows and of the merging.
        classes: Names of the classes to keep.
        path: The image file.
        args: Arguments of ``predict``, with resolved values: ``pixels`` is a ``PixelOptions``, and ``resolution`` is
            meters per pixel or None.

    Raises:
        UserError: The image cannot be read, its ground resolution is unknown but needed, or its picture would replace
            a file that this package has not written. The failure is also recorded.
        OSError: The disk is full.
    """
    from rotated_atss.io.image_reader import open_image
    from rotated_atss.tiling.prediction_record import ImageInfo

    try:
        with open_image(path, args.pixels) as image:
            detections = replace(_detect(detector, tiling, classes, args.resolution, image), name=path.stem)
            if not args.no_pictures:
                _write_picture(detections, detector.classes, image, records.picture_path(path), args)
            records.add(detections, ImageInfo.of(image))
    except UserError as error:
        records.add_failure(path.stem, error)
        raise


def _detect(
    detector: LoadedDetector | GraphDetector,
    tiling: Tiling,
    classes: Sequence[str],
    resolution: float | None,
    image: ImageReader,
) -> BoxDetections:
    """Detect objects of the selected classes on an image, which is resampled to ``resolution`` (m/px) unless None."""
    import numpy as np

    from rotated_atss.io.progress import print_above_bar
    from rotated_atss.tiling.predict import predict_image

    rate, note = resampling_rate(image, resolution)
    if note:
        print_above_bar(note)
    detections = predict_image(detector, image, rate=rate, progress=None, **vars(tiling))
    labels = {detector.classes.index(name) for name in classes}
    if len(labels) == len(detector.classes):
        return detections
    return detections.take(np.isin(detections.labels, list(labels)))


def _write_picture(
    detections: BoxDetections, model_classes: Sequence[str], image: ImageReader, path: Path, args: argparse.Namespace
) -> None:
    from rotated_atss.ops.box_polygons import obb_polygons
    from rotated_atss.visualization.palettes import class_styles

    # filtered before the conversion to lists, because a huge image can have a million detections
    drawn = detections.take(detections.scores >= args.score)
    names = [model_classes[label] for label in drawn.labels.tolist()]
    styles = class_styles(model_classes, args.palette)
    layer = Layer(obb_polygons(drawn.boxes), names, drawn.scores.tolist(), styles=styles)
    try:
        write_picture(path, image, [layer], args)
    except UserError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            raise error.__cause__ from None  # an OSError, such as a full disk, ends the run: all images would fail
        raise
