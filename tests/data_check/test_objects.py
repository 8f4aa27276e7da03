"""Checks of polygons against slow references over seeded polygons with duplicates and degenerate ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from rotated_atss.data_check.objects import check_objects, find_first_equal, have_zero_area, make_clockwise
from rotated_atss.label_formats.records import ImageLabels, ObjectList


def record(*objects, size=None, name="P1"):
    rows = ObjectList()
    for line, (polygon, class_name) in enumerate(objects, start=1):
        rows.add(polygon, class_name, where=name, line=line)
    return rows.build(name, Path(f"{name}.txt"), size)


def rectangle(x, y, w, h):
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def kinds(*records: ImageLabels, size=(100, 100)):
    return [(problem.kind, problem.where) for problem in check_objects(records, [size] * len(records))]


def test_duplicates_equal_a_slow_reference():
    rng = np.random.default_rng(0)
    polygons = rng.integers(0, 3, (400, 8)).astype(float)
    groups = rng.integers(0, 2, 400)

    def same(i, j):
        corners = [sorted(map(tuple, polygons[row].reshape(4, 2).tolist())) for row in (i, j)]
        return groups[i] == groups[j] and corners[0] == corners[1]

    expected = [next(i for i in range(j + 1) if same(i, j)) for j in range(400)]
    assert find_first_equal(polygons, groups).tolist() == expected
    assert len(set(expected)) < 400


def test_clockwise_polygons_have_the_same_corners_and_no_crossing_sides():
    corners = np.random.default_rng(1).uniform(0, 100, (500, 4, 2))
    hulls = [shapely.MultiPoint(each).convex_hull for each in corners]
    corners = corners[[len(hull.exterior.coords) == 5 for hull in hulls]]  # corners in convex position, in any order
    result = make_clockwise(corners.reshape(-1, 8)).reshape(-1, 4, 2)
    assert len(result) > 100
    for before, after in zip(corners, result):
        assert sorted(map(tuple, before)) == sorted(map(tuple, after))
        assert (before[0] == after[0]).all()
        assert shapely.Polygon(after).is_valid
        assert shapely.LinearRing(after).is_ccw  # counterclockwise where y points up is clockwise on the image


def test_clockwise_leaves_clockwise_and_concave_polygons_as_they_are():
    concave = [0.0, 0, 10, 0, 3, 3, 0, 10]
    assert make_clockwise(np.array([concave, rectangle(1, 2, 3, 4)])).tolist() == [concave, rectangle(1, 2, 3, 4)]


def test_zero_area_is_not_that_of_a_crossing_polygon():
    polygons = np.array([[0.0, 0, 10, 0, 0, 10, 10, 10], [0, 0, 10, 0, 20, 0, 30, 0], [5, 5, 5, 5, 5, 5, 5, 5]])
    assert have_zero_area(polygons).tolist() == [False, True, True]


def test_the_outside_part_equals_shapely():
    rng = np.random.default_rng(2)
    rows = [(make_clockwise(rng.uniform(-60, 160, (1, 8)))[0].tolist(), "ship") for _ in range(200)]
    problems = {problem.where: problem for problem in check_objects([record(*rows)], [(100, 100)])
                if problem.kind in ("partly-outside", "outside-image")}  # fmt: skip
    partly = 0
    for line, (polygon, _) in enumerate(rows, start=1):
        shape = shapely.Polygon(np.reshape(polygon, (4, 2)))
        if not shape.is_valid:
            continue
        outside = 1 - shape.intersection(shapely.box(0, 0, 100, 100)).area / shape.area
        problem = problems.get(f"P1.txt:{line}")
        excess = max(-min(polygon), max(polygon) - 100)
        assert (problem is not None) == (excess > 1)
        if problem is not None and problem.kind == "partly-outside":
            assert problem.message.endswith(f"({outside:.0%} of the object's area)")
            partly += 1
    assert partly > 20


def test_one_pixel_beyond_the_image_is_accepted():
    assert kinds(record((rectangle(-1, 0, 20, 20), "ship"), (rectangle(80, 80, 21, 21), "ship"))) == []
    assert kinds(record((rectangle(-1.5, 0, 20, 20), "ship"))) == [("partly-outside", "P1.txt:1")]
    assert kinds(record((rectangle(100, 0, 20, 20), "ship"))) == [("outside-image", "P1.txt:1")]


def test_an_unknown_image_size_skips_the_border():
    assert kinds(record((rectangle(500, 0, 20, 20), "ship")), size=None) == []


def test_duplicates_are_per_image_and_class():
    box = rectangle(10, 10, 20, 20)
    turned = [*box[4:], *box[:4]]
    first, second = record((box, "ship"), (turned, "ship")), record((box, "ship"), name="P2")
    assert kinds(first, second) == [("duplicate-object", "P1.txt:2")]


def test_one_object_with_two_classes():
    near = rectangle(10, 10, 20, 20.5)
    apart = rectangle(10, 10, 20, 25)
    assert kinds(record((rectangle(10, 10, 20, 20), "ship"), (near, "boat"))) == [("two-classes", "P1.txt:2")]
    assert kinds(record((rectangle(10, 10, 20, 20), "ship"), (near, "ship"))) == []
    assert kinds(record((rectangle(10, 10, 20, 20), "ship"), (apart, "boat"))) == []


def test_many_equal_objects_are_not_compared_in_pairs():
    rows = [(rectangle(10, 10, 20, 20), "ship")] * 20_000 + [(rectangle(10, 10, 20, 20.5), "boat")]
    found = kinds(record(*rows))
    assert found.count(("two-classes", "P1.txt:20001")) == 1
    assert len(found) == 20_000


def test_absurd_sizes():
    assert kinds(record((rectangle(10, 10, 1.9, 20), "ship"))) == [("tiny-object", "P1.txt:1")]
    assert kinds(record((rectangle(0, 10, 600, 4), "ship")), size=(700, 100)) == [("aspect-ratio", "P1.txt:1")]
    assert kinds(record((rectangle(0, 10, 100, 4), "ship")), size=(100, 100)) == []
    found = kinds(record((rectangle(-40, 10, 180, 40), "ship")))
    assert [kind for kind, _ in found] == ["larger-than-image", "partly-outside"]


def test_no_objects():
    assert check_objects([], []) == []
    assert kinds(record()) == []
