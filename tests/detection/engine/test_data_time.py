"""The line about a device that waits for data."""

from types import SimpleNamespace

import pytest
from mmengine.logging import HistoryBuffer

from rotated_atss.detection.engine.data_time import ITERATIONS_PER_CHECK, DataTimeHook


@pytest.fixture
def messages():
    """``messages(iterations) -> [line, ...]``: what the hook logs for pairs (data_time, time), in seconds."""

    def call(iterations):
        lines = []
        scalars = {"train/data_time": HistoryBuffer(), "train/time": HistoryBuffer()}
        runner = SimpleNamespace(
            message_hub=SimpleNamespace(log_scalars=scalars),
            train_dataloader=SimpleNamespace(num_workers=0),
            logger=SimpleNamespace(warning=lines.append),
        )
        hook = DataTimeHook()
        for index, (waited, seconds) in enumerate(iterations):
            scalars["train/data_time"].update(waited)
            scalars["train/time"].update(seconds)
            hook.after_train_iter(runner, index)
        return lines

    return call


def test_waiting_is_reported_once(messages):
    (line,) = messages([(0.3, 0.4)] * (5 * ITERATIONS_PER_CHECK))
    assert line.startswith("75% of the time is spent waiting for data, without loader processes on ")


def test_fast_loading_and_the_start_of_a_run_are_not_reported(messages):
    assert messages([(0.1, 0.4)] * (3 * ITERATIONS_PER_CHECK)) == []
    assert messages([(30.0, 31.0)] + [(0.1, 0.4)] * (3 * ITERATIONS_PER_CHECK)) == []
    assert messages([(0.3, 0.4)] * ITERATIONS_PER_CHECK) == []
