"""The bars of a training step, and what its page computes from its rate."""

import pytest
import torch

from benchmarks import bench_train_step, table_network


def test_memory_of_a_step_is_compared_in_the_same_precision():
    peaks = {bench_train_step.OURS_FAST: 400.0, bench_train_step.OURS_WIDE: 900.0, bench_train_step.PEER: 800.0}
    rows = {name: {"peak_mb": peak} for name, peak in peaks.items()}
    assert bench_train_step.memory_bar(rows, True)["measured"] == 0.5
    assert not bench_train_step.memory_bar(rows, False)["met"]
    del rows[bench_train_step.PEER]
    assert bench_train_step.memory_bar(rows, True)["met"] is None


def test_what_a_model_and_its_optimiser_hold():
    from benchmarks.memory import held_megabytes

    model = torch.nn.Linear(1000, 500, bias=False)
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    assert held_megabytes(model, optimiser) == held_megabytes(model) == 2.0
    model(torch.ones(1, 1000)).sum().backward()
    optimiser.step()
    assert held_megabytes(model, optimiser) == 4.0


@pytest.mark.parametrize("device, told", [("cpu", False), ("NVIDIA H200", True)])
def test_the_schedule_is_computed_from_a_gpus_rate(device, told):
    seconds = {"median": 0.08, "min": 0.08, "max": 0.08, "runs": 3}
    row = {"way": "ours, --amp", "seconds": {"step": seconds}, "shares": {}, "peak_mb": None}
    setting = {"batch": 8, "size": 1024, "objects": 100}
    _, notes = table_network.train_step({"results": [row], "setting": setting, "environment": {"device": device}})
    # 12 x 12,800 tiles at 100 a second are 1536 s
    assert any("25.6 minutes on one GPU" in note and "Computed" in note for note in notes) == told
