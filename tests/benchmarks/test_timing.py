"""Medians, alternating runs and the stopwatch, on a clock that only the timed functions advance."""

import pytest

from benchmarks import timing


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def run(self, *seconds):
            """A function whose calls take the given times, the last one repeatedly."""
            left = list(seconds)

            def work():
                self.now += left.pop(0) if len(left) > 1 else left[0]

            return work

    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def test_warm_up_is_not_counted_and_median_and_spread_are_kept(clock):
    assert timing.time_one(clock.run(100, 5, 1, 3), 3) == {"median": 3, "min": 1, "max": 5, "runs": 3}


def test_a_pair_runs_alternately_and_gives_the_ratio_of_medians(clock):
    calls = []
    own, baseline = clock.run(50, 1, 1, 2), clock.run(70, 10, 30, 20)
    result = timing.time_pair(lambda: (calls.append("o"), own()), lambda: (calls.append("b"), baseline()), 3)
    assert "".join(calls) == "ob" + "obobob"
    assert result["rotated_atss"]["median"] == 1
    assert result["baseline"]["median"] == 20
    assert result["speedup"] == 20


def test_a_slow_baseline_runs_less_often_and_without_warm_up(clock):
    calls = []
    own, baseline = clock.run(1), clock.run(8)
    result = timing.time_pair(
        lambda: (calls.append("o"), own()), lambda: (calls.append("b"), baseline()), 4,
        baseline_repeats=2, baseline_warmup=0,
    )  # fmt: skip
    assert "".join(calls) == "o" + "oboboo"
    assert (result["rotated_atss"]["runs"], result["baseline"]["runs"], result["speedup"]) == (4, 2, 8)


def test_without_a_baseline_there_is_no_speedup(clock):
    assert timing.time_pair(clock.run(2), None, 3) == {"rotated_atss": {"median": 2, "min": 2, "max": 2, "runs": 3}}


def test_the_device_is_synchronized_before_every_reading_of_the_clock(clock):
    events = []
    timing.time_one(lambda: events.append("run"), 2, warmup=0, sync=lambda: events.append("sync"))
    assert events == ["sync", "run", "sync"] * 2


def test_preparation_is_called_before_every_run_and_not_timed(clock):
    prepare = clock.run(7)
    result = timing.time_pair(clock.run(1), clock.run(2), 2, before=prepare)
    assert clock.now == 3 * (7 + 1) + 3 * (7 + 2)
    assert result["speedup"] == 2


def test_nested_parts_of_a_stopwatch_do_not_count_in_the_outer_one(clock):
    watch, inside = timing.Stopwatch(), clock.run(3)

    class Model:
        def forward(self, value):
            inside()
            return value + 1

    model = Model()
    watch.wrap(model, "forward", "inner")
    with watch.part("outer"):
        clock.now += 1
        assert model.forward(1) == 2
        assert model.forward(value=2) == 3
    assert dict(watch.seconds) == {"inner": 6, "outer": 1}
