"""Differences of two reports, compared with a slow subtraction of every field."""

from __future__ import annotations

import copy

import pytest

from rotated_atss.report.comparison import compare_reports, largest_changes
from tests.report.example import EMPTY_CLASS, example_report

NEW, OLD = example_report(), example_report(seed=5)


def test_every_difference_is_new_minus_old() -> None:
    changes = compare_reports(NEW, OLD)
    pairs = [(changes.summary, NEW["summary"], OLD["summary"])]
    pairs += [(changes.classes[a["name"]], a, b) for a, b in zip(NEW["classes"], OLD["classes"])]
    pairs += [(changes.errors[kind], NEW["errors"]["all"][kind], OLD["errors"]["all"][kind]) for kind in changes.errors]
    for name, kinds in changes.class_errors.items():
        pairs += [(kinds[k], NEW["errors"]["classes"][name][k], OLD["errors"]["classes"][name][k]) for k in kinds]
    for name, groups in changes.groups.items():
        for a, b in zip(NEW["groups"][name], OLD["groups"][name]):
            pairs.append((groups[a["from"], a["to"]], a, b))
    checked = 0
    for change, new, old in pairs:
        for field, value in change.items():
            checked += 1
            assert value == (
                None if new[field] is None or old[field] is None else pytest.approx(new[field] - old[field])
            )
    assert checked > 400
    assert changes.classes[EMPTY_CLASS]["AP50"] is None


def test_a_report_equals_itself() -> None:
    changes = compare_reports(NEW, copy.deepcopy(NEW))
    values = [value for fields in (changes.summary, *changes.images.values()) for value in fields.values()]
    assert {value for value in values if value is not None} == {0}
    assert changes.different_settings == []
    assert changes.only_new == changes.only_baseline == {"classes": [], "images": []}


def test_what_only_one_report_has() -> None:
    new, old = copy.deepcopy(NEW), copy.deepcopy(NEW)
    new["classes"].append({**new["classes"][0], "name": "new class"})
    del old["errors"]["classes"]["plane"]
    del old["groups"]["density"]
    old["images"][0]["image"] = "old image"
    old["settings"]["metric"] = "area"
    changes = compare_reports(new, old)
    assert changes.only_new == {"classes": ["new class"], "images": [NEW["images"][0]["image"]]}
    assert changes.only_baseline == {"classes": [], "images": ["old image"]}
    assert changes.different_settings == [("metric", "voc07", "area")]
    assert "plane" not in changes.class_errors
    assert changes.groups["density"] == {}


def test_largest_changes() -> None:
    changes = {
        "a": {"f1": 0.1},
        "b": {"f1": None},
        "c": {"f1": -0.3},
        "d": {"f1": 0.1},
        "e": {"f1": 0.0},
        "f": {"f1": 1e-9},
    }
    assert largest_changes(changes, "f1", 5, sign=1) == ["a", "d"]
    assert largest_changes(changes, "f1", 5, sign=-1) == ["c"]
    assert largest_changes(changes, "f1", 1, sign=1) == ["a"]
