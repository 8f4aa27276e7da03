"""Rows of Task1 files, for comparing merged detections."""

from __future__ import annotations

import numpy as np

from rotated_atss.dota.detections import Detections


def rows_of(detections: Detections) -> list[tuple]:
    """Return image, score and polygon of each detection; coordinates are rounded to 1e-6 pixels."""
    polygons = map(tuple, np.round(detections.polygons, 6).tolist())
    return list(zip(detections.image_ids.tolist(), detections.scores.tolist(), polygons))
