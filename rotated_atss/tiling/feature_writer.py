"""Write the detections of ``predict`` in map formats (GeoJSON, GeoPackage and others)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotated_atss.geo.features import Features
from rotated_atss.geo.writers import write_features
from rotated_atss.io.georeference import Georeference
from rotated_atss.tiling.merge_boxes import BoxDetections, round_for_task1
from rotated_atss.tiling.prediction_record import ImageInfo

STEM = "detections"  # name of the result files, without suffix


class FeatureWriter:
    """Collect the detections on all images in memory and write them in map formats.

    Memory is about 100 bytes per detection. Corners and scores are rounded as in Task1 files.

    Args:
        folder: Output folder.
        formats: Names from :data:`rotated_atss.geo.writers.FORMATS`; a name is also the suffix of the file.
        model_classes: Class names in the order of the model's class indices.

    Example:
        >>> import tempfile
        >>> detections = BoxDetections("P1", np.array([[10.0, 10, 8, 4, 0]]), np.array([0.5]), np.array([1]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = FeatureWriter(folder, ["csv"], ["plane", "ship"])
        ...     writer.add(detections, ImageInfo(40, 30))
        ...     writer.close()
        ...     header, row = Path(folder, "detections.csv").read_text().splitlines()
        >>> header.split(",")[:5], row.split(",")[:5]
        (['class', 'score', 'image', 'center_x', 'center_y'], ['ship', '0.5', 'P1', '10.0', '10.0'])
    """

    def __init__(self, folder: str | Path, formats: Sequence[str], model_classes: Sequence[str]) -> None:
        self.folder, self.formats, self.model_classes = Path(folder), formats, tuple(model_classes)
        self._images: list[tuple[str, Georeference | None]] = []
        self._image_detections: list[tuple[NDArray, NDArray, NDArray]] = []  # labels, scores and polygons of each image

    def add(self, detections: BoxDetections, info: ImageInfo) -> None:
        """Collect the detections on one image."""
        polygons, scores = round_for_task1(detections)
        self._images.append((detections.name, info.georeference))
        self._image_detections.append((detections.labels, scores, polygons))

    def close(self) -> None:
        """Write the collected detections to one file per format."""
        # if no image was added, no_rows are the arrays that np.concatenate needs
        no_rows = (np.empty(0, int), np.empty(0), np.empty((0, 8)))
        labels, scores, polygons = (np.concatenate(arrays) for arrays in zip(no_rows, *self._image_detections))
        counts = [len(image_scores) for _, image_scores, _ in self._image_detections]
        image_index = np.repeat(np.arange(len(counts)), counts)  # per detection
        features = Features.from_columns(
            [name for name, _ in self._images],
            [georeference for _, georeference in self._images],
            self.model_classes,
            image_index,
            labels,
            scores,
            polygons,
        )
        for format_name in self.formats:
            write_features(self.folder / f"{STEM}.{format_name}", format_name, features)
