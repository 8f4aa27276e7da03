"""Targets of the training step, and the computed duration of the 1x schedule."""

import pytest

from benchmarks import bench_train_step, sections


def test_memory_of_a_step_is_compared_in_equal_precision():
    peaks = {bench_train_step.OWN_AMP: 400.0, bench_train_step.OWN_FLOAT32: 900.0, bench_train_step.BASELINE: 800.0}
    rows = {name: {"peak_mb": peak} for name, peak in peaks.items()}
    assert bench_train_step.memory_target(rows, True)["measured"] == 0.5
    assert not bench_train_step.memory_target(rows, False)["met"]
    del rows[bench_train_step.BASELINE]
    assert bench_train_step.memory_target(rows, True)["met"] is None


@pytest.mark.parametrize("device, shown", [("cpu", False), ("NVIDIA H200", True)])
def test_the_duration_of_the_schedule_is_computed_from_the_rate_of_a_gpu(device, shown):
    seconds = {"median": 0.08, "min": 0.08, "max": 0.08, "runs": 3}
    row = {"implementation": "rotated-atss, --amp", "seconds": {"step": seconds}, "shares": {}, "peak_mb": None}
    settings = {"batch": 8, "size": 1024, "num_gt": 100, "baseline_amp": False}
    record = {"rows": [row], "settings": settings, "environment": {"device": device}, "loading": seconds}
    remarks = sections.train_step_remarks(record)
    # 12 x 12,800 tiles at 100 per second are 1536 s
    assert any("25.6 minutes on one GPU" in remark and "Computed" in remark for remark in remarks) == shown
