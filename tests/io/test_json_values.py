"""Numbers that JSON cannot represent."""

from __future__ import annotations

import json

import numpy as np

from rotated_atss.io.json_values import replace_nonfinite


def test_values_without_a_form_in_json_become_null() -> None:
    nan, infinite = float("nan"), float("inf")
    given = {"a": nan, "b": {"c": infinite, "d": 1.5}, "e": None, "f": "nan", "g": [1, [-infinite], (nan,)]}
    expected = {"a": None, "b": {"c": None, "d": 1.5}, "e": None, "f": "nan", "g": [1, [None], [None]]}
    assert json.loads(json.dumps(replace_nonfinite(given), allow_nan=False)) == expected


def test_float64_of_numpy() -> None:
    assert replace_nonfinite([np.float64("nan"), np.float64(0.25)]) == [None, 0.25]


def test_the_values_given_are_not_changed() -> None:
    given = {"a": [float("inf")]}
    replace_nonfinite(given)
    assert given == {"a": [float("inf")]}
