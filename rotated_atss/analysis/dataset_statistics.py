"""Compute statistics of a dataset: images, classes, and size, shape and direction of the objects."""

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

# Objects with a lower ratio of long to short side are almost square: rounding decides which side is the longer one.
# The statistics of directions leave them out.
MIN_DIRECTED_ASPECT = 1.2
# The edges of the bins for lengths. From 4 px on, each edge is about sqrt(2) times the one before it.
LENGTH_EDGES_PX = (0, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, math.inf)
# the edges of the bins for the number of objects per image or tile
COUNT_EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, math.inf)
_MIN_BEYOND_PX = 1.0  # an object that exceeds its image by less is not counted, because rounding can be the cause
QUANTILES = {"min": 0.0, "p1": 0.01, "p5": 0.05, "median": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_MAX_SIZES = 5  # the report lists this many image sizes, the most frequent ones


def summarize_dataset(objects: DatasetObjects) -> dict[str, Any]:
    """Compute the statistics of a dataset as a report for JSON, tables, plots and advice.

    Objects without area are left out of the statistics of sizes, shapes and directions.

    Args:
        objects: Images and objects.

    Returns:
        ``images``, ``objects``, ``size``, ``long_side``, ``short_side``, ``extent``, ``aspect``, ``groups``,
        ``objects_per_image``, ``classes`` and ``notes``. Lengths are in pixels of the images.

    Example:
        >>> zero = np.zeros(1, np.int64)
        >>> objects = DatasetObjects(
        ...     image_names=("P1",), image_wh=np.array([[64, 64]]), ground_resolution=np.array([np.nan]),
        ...     image_index=zero, class_index=zero, class_names=("ship",),
        ...     polygons=np.array([[0.0, 0, 32, 0, 32, 8, 0, 8]]), difficult=zero,
        ... )
        >>> report = summarize_dataset(objects)
        >>> report["size"]["median"], report["aspect"]["median"], report["classes"][0]["objects"]
        (16.0, 4.0, 1)
    """
    has_area = objects.has_area
    objects_per_image = np.bincount(objects.image_index, minlength=len(objects.image_names))
    aspect = objects.aspect[has_area]
    angles_deg = objects.angle_deg[has_area][aspect >= MIN_DIRECTED_ASPECT]
    return {
        "images": _summarize_images(objects, objects_per_image),
        "objects": _summarize_objects(objects),
        "size": quantiles(objects.size[has_area]),
        "long_side": quantiles(objects.long_side[has_area]),
        "short_side": quantiles(objects.short_side[has_area]),
        "extent": quantiles(objects.extent[has_area]),
        "aspect": quantiles(aspect),
        "groups": {
            "size": count_groups(objects.size[has_area], LENGTH_EDGES_PX),
            "extent": count_groups(objects.extent[has_area], LENGTH_EDGES_PX),
            "aspect": count_groups(aspect, ASPECT_EDGES),
            "angle": count_groups(angles_deg, ANGLE_EDGES_DEG),
            "objects_per_image": count_groups(objects_per_image, COUNT_EDGES),
        },
        "objects_per_image": quantiles(objects_per_image),
        "classes": _summarize_classes(objects),
        "notes": list(objects.notes),
    }


def quantiles(values: NDArray[Any]) -> dict[str, float] | None:
    """Return the quantiles in ``QUANTILES`` and the ``mean``, keyed by name; None if there are no values.

    Example:
        >>> quantiles(np.array([1, 2, 6]))["median"], quantiles(np.zeros(0))
        (2.0, None)
    """
    if not len(values):
        return None
    quantile_values = np.quantile(values, list(QUANTILES.values())).tolist()
    return {**dict(zip(QUANTILES, quantile_values)), "mean": float(np.mean(values))}


def count_groups(values: NDArray[Any], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Count the values in each interval ``from <= value < to``.

    Empty intervals before the first value and after the last one are left out. ``to`` is None if the interval has no
    upper limit.

    Example:
        >>> count_groups(np.array([1, 9]), (0, 4, 8, np.inf))
        [{'from': 0, 'to': 4, 'count': 1}, {'from': 4, 'to': 8, 'count': 0}, {'from': 8, 'to': None, 'count': 1}]
    """
    groups = [
        {
            "from": low,
            "to": None if math.isinf(high) else high,
            "count": int(((values >= low) & (values < high)).sum()),
        }
        for low, high in pairwise(edges)
    ]
    nonempty_index = [index for index, group in enumerate(groups) if group["count"]]
    return groups[nonempty_index[0] : nonempty_index[-1] + 1] if nonempty_index else []


def _summarize_images(objects: DatasetObjects, objects_per_image: NDArray[np.int64]) -> dict[str, Any]:
    known_wh = objects.image_wh[(objects.image_wh > 0).all(axis=1)]
    sizes = Counter(map(tuple, known_wh.tolist()))
    resolution = objects.ground_resolution[np.isfinite(objects.ground_resolution)]
    return {
        "count": len(objects.image_names),
        "without_objects": int((objects_per_image == 0).sum()),
        "of_unknown_size": len(objects.image_names) - len(known_wh),
        "width": quantiles(known_wh[:, 0]),
        "height": quantiles(known_wh[:, 1]),
        "megapixels": float(known_wh.prod(axis=1).sum() / 1e6),
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
    """Return whether each object exceeds its image by 1 px or more, (N,); False if the image size is unknown."""
    corners = objects.polygons.reshape(-1, 4, 2)
    image_wh = objects.image_wh[objects.image_index]  # one row per object, with the size of its image
    low, high = corners.min(axis=1), corners.max(axis=1)
    exceeds = (low <= -_MIN_BEYOND_PX) | (high >= image_wh + _MIN_BEYOND_PX)
    return exceeds.any(axis=1) & (image_wh > 0).all(axis=1)


def _summarize_classes(objects: DatasetObjects) -> list[dict[str, Any]]:
    """Return one row per class, sorted by descending number of objects."""
    rows = [_summarize_class(objects, index) for index in range(len(objects.class_names))]
    return sorted(rows, key=lambda row: (-row["objects"], row["name"]))


def _summarize_class(objects: DatasetObjects, class_index: int) -> dict[str, Any]:
    in_class = objects.class_index == class_index
    with_area = in_class & objects.has_area
    return {
        "name": objects.class_names[class_index],
        "objects": int(in_class.sum()),
        "share": float(in_class.mean()) if len(in_class) else 0.0,
        "images": len(np.unique(objects.image_index[in_class])),
        "difficult": int((objects.difficult[in_class] > 0).sum()),
        "truncated": int((objects.difficult[in_class] == TRUNCATED).sum()),
        "size": quantiles(objects.size[with_area]),
        "long_side": quantiles(objects.long_side[with_area]),
        "aspect": quantiles(objects.aspect[with_area]),
    }
