"""Names that are almost a class, and names that are not."""

from __future__ import annotations

import random

import pytest

from rotated_atss.data_check.class_names import _edit_distance, find_misspelled, find_similar
from rotated_atss.dota.datasets import DATASETS


@pytest.mark.parametrize(
    "name, meant",
    [
        ("Plane", "plane"),
        ("small vehicle", "small-vehicle"),
        ("SmallVehicle", "small-vehicle"),
        ("storage_tank", "storage-tank"),
        ("storage-tnak", "storage-tank"),
        ("habor", "harbor"),
        ("ships", "ship"),
        ("vehicle", None),
        ("tree", None),
        ("car", None),
        ("", None),
    ],
)
def test_names_against_dota(name, meant):
    assert find_misspelled(name, DATASETS["v1.0"].classes) == meant


@pytest.mark.parametrize("name", DATASETS)
def test_no_class_of_a_dataset_is_almost_another(name):
    classes = DATASETS[name].classes
    for each in classes:
        assert find_misspelled(each, [other for other in classes if other != each]) is None


def test_rare_names_are_compared_with_frequent_ones():
    assert list(find_similar({"harbor": 500, "habor": 2, "harbour": 400})) == [("habor", "harbor")]
    assert list(find_similar({"A320": 900, "A330": 1})) == []
    assert list(find_similar({})) == []


def test_edit_distance_equals_a_slow_reference():
    def slow(first, second):
        if not first or not second:
            return len(first) + len(second)
        changed = first[0] != second[0]
        return min(slow(first[1:], second) + 1, slow(first, second[1:]) + 1, slow(first[1:], second[1:]) + changed)

    rng = random.Random(0)
    for _ in range(200):
        first, second = ("".join(rng.choices("abc", k=rng.randint(0, 5))) for _ in range(2))
        assert _edit_distance(first, second, limit=9) == slow(first, second)
