"""The demo's training schedule; its whole run is `make demo`."""

from __future__ import annotations

from argparse import Namespace

import pytest

from rotated_atss.cli import demo


@pytest.mark.parametrize(("iterations", "interval"), [(20, 2), (100, 10), (2000, 50)])
def test_short_training_logs_at_least_ten_times(iterations: int, interval: int) -> None:
    schedule = demo._schedule_options(Namespace(iterations=iterations))
    assert schedule["default_hooks.logger.interval"] == interval
    assert schedule["train_cfg.max_iters"] == schedule["default_hooks.checkpoint.interval"] == iterations


def test_default_training_keeps_the_config() -> None:
    assert demo._schedule_options(Namespace(iterations=None)) == {}
