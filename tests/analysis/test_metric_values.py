"""Names of metrics, and the line of their means."""

from __future__ import annotations

from rotated_atss.analysis.metric_values import format_metrics, short_names


def test_prefixes_are_dropped_only_where_names_stay_different():
    assert short_names({"dota/AP50": 0.5, "dota/AP50/ship": 0.4}) == {"AP50": 0.5, "AP50/ship": 0.4}
    both = {"dota/AP50": 0.5, "coco/AP50": 0.4}
    assert short_names(both) == both
    assert short_names({"AP50": 0.5}) == {"AP50": 0.5}


def test_the_line_has_the_means_only():
    assert format_metrics({"dota/AP50": 0.5, "dota/AP50/ship": 0.4}) == "AP50 0.5000"
    assert format_metrics({}) == ""


def test_metrics_of_two_evaluations_keep_their_prefixes():
    metrics = {"a/AP50": 0.5, "a/AP50/ship": 0.4, "b/AP50": 0.3, "b/AP50/ship": 0.2}
    assert format_metrics(metrics) == "a/AP50 0.5000  b/AP50 0.3000"
