"""Statistics of a dataset: images, classes, and size, shape and direction of its objects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.analysis.dataset_objects import DatasetObjects
from rotated_atss.analysis.group_edges import ANGLE_EDGES_DEG, ASPECT_EDGES
from rotated_atss.dota.labels import TRUNCATED

MIN_DIRECTED_ASPECT = 1.2  # the direction of the long side of squarer objects depends on rounding
LENGTH_EDGES_PX = (0, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, math.inf)
COUNT_EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, math.inf)
_BEYOND_PX = 1.0  # objects that exceed their image by less are rounded labels
QUANTILES = {"min": 0.0, "p1": 0.01, "p5": 0.05, "median": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_MAX_SIZES = 5


def summarize_dataset(objects: DatasetObjects) -> dict[str, Any]:
    """Compute the statistics of a dataset as a report for JSON, tables, plots and advice.

    Sizes, shapes and directions are those of the objects with an area.

    Args:
        objects: Images and objects.

    Returns:
        ``images``, ``objects``, ``size``, ``long_side``, ``short_side``, ``extent``, ``aspect``, ``groups``,
        ``objects_per_image``, ``classes`` and ``notes``. Lengths are in pixels of the images.

    Example:
        >>> index = np.zeros(1, np.int64)
        >>> objects = DatasetObjects(("P1",), np.array([[64, 64]]), np.array([np.nan]), index, index, ("ship",),
        ...                          np.array([[0.0, 0, 32, 0, 32, 8, 0, 8]]), index)
        >>> report = summarize_dataset(objects)
        >>> report["size"]["median"], report["aspect"]["median"], report["classes"][0]["objects"]
        (16.0, 4.0, 1)
    """
    valid = objects.has_area
    per_image = np.bincount(objects.image_index, minlength=len(objects.image_names))
    aspect = objects.aspect[valid]
    directed = objects.angle_deg[valid][aspect >= MIN_DIRECTED_ASPECT]
    return {
        "images": _summarize_images(objects, per_image),
        "objects": _summarize_objects(objects),
        "size": quantiles(objects.size[valid]),
        "long_side": quantiles(objects.long_side[valid]),
        "short_side": quantiles(objects.short_side[valid]),
        "extent": quantiles(objects.extent[valid]),
        "aspect": quantiles(aspect),
        "groups": {
            "size": count_groups(objects.size[valid], LENGTH_EDGES_PX),
            "extent": count_groups(objects.extent[valid], LENGTH_EDGES_PX),
            "aspect": count_groups(aspect, ASPECT_EDGES),
            "angle": count_groups(directed, ANGLE_EDGES_DEG),
            "objects_per_image": count_groups(per_image, COUNT_EDGES),
        },
        "objects_per_image": quantiles(per_image),
        "classes": _summarize_classes(objects, valid),
        "notes": list(objects.notes),
    }


def quantiles(values: NDArray[Any]) -> dict[str, float] | None:
    """Return minimum, maximum, median, mean and the quantiles of 1, 5, 95 and 99%; None without values.

    Example:
        >>> quantiles(np.array([1, 2, 6]))["median"], quantiles(np.zeros(0))
        (2.0, None)
    """
    if not len(values):
        return None
    found = np.quantile(values, list(QUANTILES.values()))
    return {**dict(zip(QUANTILES, map(float, found))), "mean": float(np.mean(values))}


def count_groups(values: NDArray[Any], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Count the values in each interval ``from <= value < to``, from the first to the last interval with values.

    Example:
        >>> count_groups(np.array([1, 9]), (0, 4, 8, np.inf))
        [{'from': 0, 'to': 4, 'count': 1}, {'from': 4, 'to': 8, 'count': 0}, {'from': 8, 'to': None, 'count': 1}]
    """
    counts = [int(((values >= low) & (values < high)).sum()) for low, high in pairwise(edges)]
    used = [index for index, count in enumerate(counts) if count]
    return [
        {"from": low, "to": None if math.isinf(high) else high, "count": count}
        for index, ((low, high), count) in enumerate(zip(pairwise(edges), counts))
        if used and used[0] <= index <= used[-1]
    ]


def _summarize_images(objects: DatasetObjects, per_image: NDArray[np.int64]) -> dict[str, Any]:
    known = objects.image_wh[(objects.image_wh > 0).all(axis=1)]
    sizes = Counter(map(tuple, known.tolist()))
    resolution = objects.ground_resolution[np.isfinite(objects.ground_resolution)]
    return {
        "count": len(objects.image_names),
        "without_objects": int((per_image == 0).sum()),
        "of_unknown_size": len(objects.image_names) - len(known),
        "width": quantiles(known[:, 0]),
        "height": quantiles(known[:, 1]),
        "megapixels": float(known.prod(axis=1).sum() / 1e6),
        "most_frequent_sizes": [[*size, count] for size, count in sizes.most_common(_MAX_SIZES)],
        "ground_resolution": {"known": len(resolution), "m_per_px": quantiles(resolution)},
    }


def _summarize_objects(objects: DatasetObjects) -> dict[str, Any]:
    return {
        "count": len(objects),
        "difficult": int((objects.difficult > 0).sum()),
        "truncated": int((objects.difficult == TRUNCATED).sum()),
        "without_area": int((~objects.has_area).sum()),
        "beyond_image": int(_beyond_image(objects).sum()),
    }


def _beyond_image(objects: DatasetObjects) -> NDArray[np.bool_]:
    """Return whether each object exceeds its image, (N,)."""
    corners, size = objects.polygons.reshape(-1, 4, 2), objects.image_wh[objects.image_index]
    low, high = corners.min(axis=1), corners.max(axis=1)
    exceeds = (low <= -_BEYOND_PX) | (high >= size + _BEYOND_PX)
    return exceeds.any(axis=1) & (size > 0).all(axis=1)


def _summarize_classes(objects: DatasetObjects, valid: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the classes by descending number of objects."""
    rows = [_summarize_class(objects, valid, number) for number in range(len(objects.class_names))]
    return sorted(rows, key=lambda row: (-row["objects"], row["name"]))


def _summarize_class(objects: DatasetObjects, valid: NDArray[np.bool_], number: int) -> dict[str, Any]:
    members = objects.class_index == number
    shaped = members & valid
    return {
        "name": objects.class_names[number],
        "objects": int(members.sum()),
        "share": float(members.mean()) if len(members) else 0.0,
        "images": len(np.unique(objects.image_index[members])),
        "difficult": int((objects.difficult[members] > 0).sum()),
        "truncated": int((objects.difficult[members] == TRUNCATED).sum()),
        "size": quantiles(objects.size[shaped]),
        "long_side": quantiles(objects.long_side[shaped]),
        "aspect": quantiles(objects.aspect[shaped]),
    }
