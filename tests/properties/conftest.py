"""Profiles of Hypothesis: few and always the same examples by default, many with ``HYPOTHESIS_PROFILE=long``."""

import os

import pytest

hypothesis = pytest.importorskip("hypothesis")

hypothesis.settings.register_profile(
    "quick", derandomize=True, max_examples=25, deadline=None, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)  # fmt: skip
hypothesis.settings.register_profile(
    "long", hypothesis.settings.get_profile("quick"), derandomize=False, max_examples=1000, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
