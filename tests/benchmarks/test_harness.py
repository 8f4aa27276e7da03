"""The contract of benchmarks/README.md as far as the harness keeps it."""

import json
import subprocess
import sys

import pytest

from benchmarks import harness, memory
from benchmarks.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when a run moves it."""

    class Clock:
        now = 0.0

        def run(self, *seconds):
            """A job that takes the given times, call by call, the last one from then on."""
            left = list(seconds)

            def job():
                self.now += left.pop(0) if len(left) > 1 else left[0]

            return job

    clock = Clock()
    monkeypatch.setattr(harness.time, "perf_counter", lambda: clock.now)
    return clock


def test_time_one_throws_the_warm_up_away_and_keeps_median_and_spread(clock):
    timed = harness.time_one(clock.run(100, 5, 1, 3), 3)
    assert timed == {"median": 3, "min": 1, "max": 5, "runs": 3}


def test_time_pair_runs_in_turns_and_gives_the_ratio_of_medians(clock):
    calls = []
    ours, peer = clock.run(50, 1, 1, 2), clock.run(70, 10, 30, 20)
    result = harness.time_pair(lambda: (calls.append("o"), ours()), lambda: (calls.append("p"), peer()), 3)
    assert "".join(calls) == "op" + "opopop"
    assert result["ours"]["median"] == 1
    assert result["peer"]["median"] == 20
    assert result["ratio"] == 20


def test_a_slow_peer_runs_less_often_and_may_be_warm_already(clock):
    calls = []
    ours, peer = clock.run(1), clock.run(8)
    result = harness.time_pair(
        lambda: (calls.append("o"), ours()), lambda: (calls.append("p"), peer()), 4, peer_repeats=2, peer_warmup=0
    )
    assert "".join(calls) == "o" + "opopoo"
    assert (result["ours"]["runs"], result["peer"]["runs"], result["ratio"]) == (4, 2, 8)


def test_without_a_peer_there_is_no_ratio(clock):
    assert harness.time_pair(clock.run(2), None, 3) == {"ours": {"median": 2, "min": 2, "max": 2, "runs": 3}}


def test_the_device_is_waited_for_before_every_reading_of_the_clock(clock):
    events = []
    harness.time_one(lambda: events.append("run"), 2, warmup=0, sync=lambda: events.append("sync"))
    assert events == ["sync", "run", "sync"] * 2


def test_stopwatch_counts_nested_parts_in_both(clock):
    watch, inside = Stopwatch(), clock.run(3)

    class Job:
        def work(self, value):
            inside()
            return value + 1

    job = Job()
    watch.wrap(job, "work", "inner")
    with watch.part("outer"):
        clock.now += 1
        assert job.work(1) == 2
        assert job.work(value=2) == 3
    assert dict(watch.seconds) == {"inner": 6, "outer": 7}
    watch.clear()
    assert not watch.seconds


@pytest.mark.parametrize(
    "measured, limits, met",
    [(20, {"at_least": 20}, True), (19.9, {"at_least": 20}, False), (2e-6, {"at_most": 2e-6}, True),
     (3e-6, {"at_most": 2e-6}, False), (None, {"at_least": 1}, None), (0, {"at_most": 0}, True)],
)  # fmt: skip
def test_bars(measured, limits, met):
    found = harness.bar("times faster", measured, **limits)
    assert found == {"claim": "times faster", **limits, "measured": measured, "met": met}
    assert harness.show_bars([found]).startswith({True: "met", False: "MISSED", None: "not measured"}[met])


def test_a_bar_needs_a_limit():
    with pytest.raises(ValueError, match="at_least or at_most"):
        harness.bar("fast", 1.0)


def test_environment_says_who_measured():
    found = harness.environment()
    assert found["device"] == "cpu"
    assert found["cores"] >= 1
    assert found["cpu"]
    assert {"commit", "python", "versions", "system", "threads", "load_before"} <= found.keys()
    assert "torch" in found["versions"]


def test_records_are_written_whole_and_named_after_the_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    path = harness.save("iou", {"results": [1]})
    assert path.name == "iou.json"
    record = json.loads(path.read_text())
    assert list(record)[0] == "name"
    assert record["results"] == [1]
    assert record["environment"]["device"] == "cpu"
    gpu = {**harness.environment(), "device": "NVIDIA H100 80GB HBM3"}
    path = harness.save("iou", {"environment": gpu, "results": []})
    assert path.name == "iou_nvidia-h100-80gb-hbm3.json"
    assert json.loads(path.read_text())["name"] == "iou"
    assert sorted(each.suffix for each in path.parent.iterdir()) == [".json", ".json"]


def test_table_aligns_texts_left_and_numbers_right():
    lines = harness.table([{"job": "a", "s": 0.5, "none": None}, {"job": "long", "s": 123456.0, "none": 1}]).split("\n")
    assert lines[0] == "job           s  none"
    assert lines[2] == "a           0.5      "
    assert lines[3] == "long  1.235e+05     1"


def test_a_device_that_is_not_there_ends_with_one_line(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    harness.check_device("cpu")
    for device, message in (("cuda", "no CUDA device"), ("cuda:1", "no CUDA device"), ("tpu", "unknown device 'tpu'")):
        with pytest.raises(SystemExit, match=message) as ended:
            harness.check_device(device)
        assert "\n" not in str(ended.value)
    assert harness.synchroniser("cpu") is None


def test_extra_memory_sees_a_peak_that_is_gone_again():
    import numpy as np

    def peak():
        np.ones(40_000_000, dtype=np.uint8)

    assert 35 < memory.extra_megabytes(peak) < 60
    assert memory.extra_megabytes(lambda: None) < 5


@pytest.mark.parametrize(
    "version, clock_khz, told, expected",
    [((9, 0), 1_980_000, 0, 132 * 128 * 2 * 1.98e9), ((8, 0), 0, 1.41e9, 132 * 64 * 2 * 1.41e9), ((9, 0), 0, 0, None)],
)
def test_the_peak_of_a_gpu_is_computed_or_not_told(monkeypatch, version, clock_khz, told, expected):
    import torch

    known = {"major": version[0], "minor": version[1], "multi_processor_count": 132, "clock_rate": clock_khz}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: type("Properties", (), known))
    monkeypatch.setattr(harness, "_told_clock_hz", lambda index: told)
    peak = harness.fp32_peak("cuda")
    assert peak is None if expected is None else peak == pytest.approx(expected)


def test_boxes_of_a_crowd_all_meet():
    from benchmarks import inputs
    from rotated_atss.ops import rotated_iou

    assert (rotated_iou(inputs.crowd(60), inputs.crowd(70, 1)) > 0).all()


def test_bars_of_a_gpu_hold_pairwise_ratio_and_share():
    from benchmarks import bench_iou, bench_nms

    off = {"ours_error": {"worst": 1e-8}}
    rows = [
        {"kind": "random", "dtype": "float64", **off},
        {"kind": "scene", "dtype": "float32", "ratio": 7, **off},
        {"kind": "crowd", "dtype": "float32", "ratio": 6, "share_of_peak": 0.25, **off},
    ]
    told = {each["claim"]: (each["measured"], each["met"]) for each in bench_iou.gpu_bars(rows)}
    assert told["all with all: times faster than mmcv's CUDA op"] == (6, True)
    assert told["all with all, float32: share of the arithmetic peak, computed"] == (0.25, False)
    (bar,) = bench_nms.gpu_bars([{"scene": "tile, 15 classes", "boxes": 2000, "ours": {"median": 0.0004}}])
    assert bar["met"]
    assert bar["measured"] == pytest.approx(0.4)


def test_the_bar_of_nms_on_the_cpu():
    from benchmarks import bench_nms

    (bar,) = bench_nms.cpu_bars([{"scene": "harbour, 1 class", "boxes": 20_000, "ours": {"median": 0.6}}])
    assert bar["measured"] == 0.6
    assert not bar["met"]
    assert "20,000" in bar["claim"]


def test_memory_of_a_command_counts_what_it_starts():
    hold = "import sys, time; held = bytearray(b'x') * {}; time.sleep(0.3)"
    inner = hold.format(80_000_000)
    outer = f"import subprocess; {hold.format(50_000_000)}; subprocess.run([sys.executable, '-c', {inner!r}])"
    alone = memory.command_megabytes([sys.executable, "-c", hold.format(0)])
    if alone is None:
        pytest.skip("no /proc")
    assert 125 < memory.command_megabytes([sys.executable, "-c", outer]) - 2 * alone < 150


def test_memory_of_a_command_that_fails():
    with pytest.raises(subprocess.CalledProcessError):
        memory.command_megabytes([sys.executable, "-c", "import time; time.sleep(0.1); raise SystemExit(3)"])
