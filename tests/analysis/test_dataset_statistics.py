"""Statistics of datasets against loops over their objects."""

import json
import math

import numpy as np
import pytest

from rotated_atss.analysis.dataset_statistics import count_groups, quantiles, summarize_dataset
from tests.references.datasets import dataset, random_dataset


def slow_quantile(values, share):
    """Linear interpolation between the sorted values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def slow_shape(polygon):
    """Sides, direction and extent of a rectangle (8,), from its corners."""
    points = polygon.reshape(4, 2)
    sides = [float(np.hypot(*(points[1] - points[0]))), float(np.hypot(*(points[2] - points[1])))]
    edge = points[1] - points[0] if sides[0] >= sides[1] else points[2] - points[1]
    extent = max(float(np.ptp(points[:, axis])) for axis in (0, 1))
    direction = (math.degrees(math.atan2(edge[1], edge[0])) + 90) % 180 - 90
    return max(sides), min(sides), direction, extent


def test_shapes_and_quantiles_agree_with_loops():
    objects = random_dataset()
    report = summarize_dataset(objects)
    shapes = [slow_shape(polygon) for polygon in objects.polygons]
    values = {
        "long_side": [long for long, *_ in shapes],
        "short_side": [short for _, short, *_ in shapes],
        "size": [math.sqrt(long * short) for long, short, *_ in shapes],
        "aspect": [long / short for long, short, *_ in shapes],
        "extent": [extent for *_, extent in shapes],
    }
    for name, each in values.items():
        for key, share in (("min", 0), ("p1", 0.01), ("median", 0.5), ("p99", 0.99), ("max", 1)):
            assert report[name][key] == pytest.approx(slow_quantile(each, share), rel=1e-6)
    directed = [direction for long, short, direction, _ in shapes if long / short >= 1.2]
    for group in report["groups"]["angle"]:
        assert group["count"] == sum(group["from"] <= direction < group["to"] for direction in directed)
    assert sum(group["count"] for group in report["groups"]["angle"]) == len(directed)
    json.dumps(report, allow_nan=False)


def test_counts_agree_with_loops():
    objects = random_dataset(seed=1)
    report = summarize_dataset(objects)
    beyond = 0
    for polygon, image in zip(objects.polygons, objects.image_index):
        width, height = objects.image_wh[image]
        xs, ys = polygon[0::2], polygon[1::2]
        beyond += bool(xs.min() <= -1 or ys.min() <= -1 or xs.max() >= width + 1 or ys.max() >= height + 1)
    difficult = objects.difficult.tolist()
    counts = {"count": 300, "difficult": sum(map(bool, difficult)), "truncated": difficult.count(2)}
    assert report["objects"] == {**counts, "without_area": 0, "beyond_image": beyond}
    for row in report["classes"]:
        members = [n for n, c in enumerate(objects.class_index) if objects.class_names[c] == row["name"]]
        assert row["objects"] == len(members)
        assert row["images"] == len({int(objects.image_index[n]) for n in members})
        assert row["truncated"] == sum(difficult[n] == 2 for n in members)
        assert row["share"] == pytest.approx(len(members) / 300)
    per_image = [objects.image_index.tolist().count(image) for image in range(3)]
    assert report["objects_per_image"]["median"] == sorted(per_image)[1]


def test_an_empty_dataset():
    report = summarize_dataset(dataset([], image_wh=()))
    assert (report["images"]["count"], report["objects"]["count"], report["size"]) == (0, 0, None)
    assert [row["objects"] for row in report["classes"]] == [0, 0]
    json.dumps(report, allow_nan=False)
    report = summarize_dataset(dataset([]))
    assert report["images"]["without_objects"] == 1
    assert report["objects_per_image"]["max"] == 0


def test_one_object_is_every_quantile():
    report = summarize_dataset(dataset([[100, 100, 40, 10, 0.3]], names=("ship",)))
    assert list(report["size"].values()) == pytest.approx([20] * 8)
    assert report["aspect"]["median"] == pytest.approx(4)
    assert report["classes"][0]["share"] == 1
    assert report["groups"]["objects_per_image"] == [{"from": 1, "to": 2, "count": 1}]


def test_objects_without_area_have_no_shape():
    report = summarize_dataset(dataset([[100, 100, 40, 0, 0], [100, 100, 30, 30, 0]]))
    assert report["objects"]["without_area"] == 1
    assert report["size"]["min"] == pytest.approx(30)


def test_images_of_unknown_size_and_resolution():
    objects = dataset([[5, 5, 4, 4, 0]], image_wh=((0, 0), (640, 480)))
    objects.ground_resolution[1] = 0.5
    images = summarize_dataset(objects)["images"]
    assert (images["of_unknown_size"], images["width"]["max"], images["megapixels"]) == (1, 640, 0.3072)
    assert (images["ground_resolution"]["known"], images["ground_resolution"]["m_per_px"]["median"]) == (1, 0.5)
    assert images["most_frequent_sizes"] == [[640, 480, 1]]


def test_groups_cover_every_value_once():
    values = np.array([0, 3, 4, 5, 100])
    groups = count_groups(values, (0, 4, 8, 16, math.inf))
    assert [group["count"] for group in groups] == [2, 2, 0, 1]
    assert groups[-1]["to"] is None
    assert count_groups(np.zeros(0), (0, 1)) == []
    assert quantiles(np.zeros(0)) is None
