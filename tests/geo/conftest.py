"""Detections on georeferenced images."""

from __future__ import annotations

import numpy as np

from rotated_atss.dota.detections import Detections
from rotated_atss.geo.features import Features
from rotated_atss.io.georeference import Georeference

GEOREFERENCES = {
    "north_up": Georeference((0.25, 0, 447000, 0, -0.25, 4427000), "EPSG:32650"),
    "turned": Georeference((0.24, 0.07, 447000, 0.07, -0.24, 4427000), "EPSG:32650"),
    "mirrored": Georeference((0.25, 0, 447000, 0, 0.25, 4427000), "EPSG:32650"),  # south up
    "southern": Georeference((0.5, 0, 334000, 0, -0.5, 6252000), "EPSG:32756"),
    "degrees": Georeference((1e-5, 0, 24.9, 0, -1e-5, 60.2), "EPSG:4326"),
    "mercator": Georeference((0.6, 0, 2771800, 0, -0.6, 8437700), "EPSG:3857"),
    "antimeridian": Georeference((0.5, 0, 833730, 0, -0.5, 7000), "EPSG:32660"),  # 180 degrees at x = 833978.5 m
    "state_plane": Georeference((1, 0, 987000, 0, -1, 211000), "EPSG:2263"),  # feet
}


def rectangles(count: int, seed: int = 0, size: int = 1000) -> np.ndarray:
    """(count, 8) rectangles in pixels, clockwise on the image, with corners to 0.01 px as in a Task1 file."""
    rng = np.random.default_rng(seed)
    w, h, angle = rng.uniform(5, 80, count), rng.uniform(5, 80, count), rng.uniform(-np.pi, np.pi, count)
    frame = np.stack([np.stack([-w, w, w, -w], 1), np.stack([-h, -h, h, h], 1)], 2) / 2
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
    return (frame @ turn + rng.uniform(100, size - 100, (count, 1, 2))).round(2).reshape(-1, 8)


def detect(images: dict[str, Georeference | None], per_image: int = 6) -> Features:
    """Features of two classes on every image."""
    ids = [name for name in images for _ in range(per_image)]
    polygons, scores = rectangles(len(ids)), np.linspace(0.9, 0.1, len(ids)).round(3)
    ship = np.arange(len(ids)) % 2 == 0
    of = {
        name: Detections.from_ids(np.array(ids)[rows].tolist(), scores[rows], polygons[rows])
        for name, rows in (("ship", ship), ("small-vehicle", ~ship))
    }
    return Features.from_task1(of, images)
