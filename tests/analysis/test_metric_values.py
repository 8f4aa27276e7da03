"""Names and values of metrics for people and for JSON."""

from __future__ import annotations

import json

from rotated_atss.analysis.metric_values import format_metrics, plain, short_names


def test_prefixes_are_dropped_only_where_names_stay_different():
    assert short_names({"dota/AP50": 0.5, "dota/AP50/ship": 0.4}) == {"AP50": 0.5, "AP50/ship": 0.4}
    both = {"dota/AP50": 0.5, "coco/AP50": 0.4}
    assert short_names(both) == both
    assert short_names({"AP50": 0.5}) == {"AP50": 0.5}


def test_the_line_has_the_means_only():
    assert format_metrics({"dota/AP50": 0.5, "dota/AP50/ship": 0.4}) == "AP50 0.5000"
    assert format_metrics({}) == ""


def test_values_without_a_form_in_json_become_null():
    values = plain({"a": float("nan"), "b": {"c": float("inf"), "d": 1.5}, "e": None, "f": "nan", "g": 3})
    assert json.loads(json.dumps(values, allow_nan=False)) == {
        "a": None, "b": {"c": None, "d": 1.5}, "e": None, "f": "nan", "g": 3,
    }  # fmt: skip
