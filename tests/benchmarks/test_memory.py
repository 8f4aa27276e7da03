"""Peak memory of a call, of a command with its child processes, and of a model."""

import mmap
import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmarks import memory


def write_new_pages():
    """Write 40 MB that no earlier allocation of the process held, and free them."""
    np.frombuffer(mmap.mmap(-1, 40_000_000), dtype=np.uint8)[:] = 1


def test_a_peak_that_has_been_freed_is_measured():
    assert 35 < memory.extra_megabytes(write_new_pages) < 60
    assert memory.extra_megabytes(lambda: None) < 5


def test_memory_of_a_command_includes_its_child_processes():
    hold = "import sys, time; held = bytearray(b'x') * {}; time.sleep(0.3)"
    inner = hold.format(80_000_000)
    outer = f"import subprocess; {hold.format(50_000_000)}; subprocess.run([sys.executable, '-c', {inner!r}])"
    alone = memory.command_megabytes([sys.executable, "-c", hold.format(0)])
    if alone is None:
        pytest.skip("no /proc")
    assert 125 < memory.command_megabytes([sys.executable, "-c", outer]) - 2 * alone < 150


def test_a_failing_command_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        memory.command_megabytes([sys.executable, "-c", "import time; time.sleep(0.1); raise SystemExit(3)"])


def test_peak_of_a_command_is_that_of_all_its_processes_at_one_time():
    hold = "import sys, time; held = bytearray(b'x') * {}; time.sleep(0.6)"
    two = f"import subprocess; {hold.format(50_000_000)}; del held; " + (
        f"subprocess.run([sys.executable, '-c', {hold.format(80_000_000)!r}])"
    )
    measured = memory.command_peak([sys.executable, "-c", two], limit_s=60)
    if not measured["peak_mb"]:
        pytest.skip("no /proc")
    assert 80 < measured["peak_mb"] < 125
    assert measured["seconds"] > 1.2
    assert "note" not in measured


@pytest.mark.parametrize(
    ("code", "limit_s", "note"),
    [("import time; time.sleep(60)", 0.5, "stopped after 0.5 s"), ("raise SystemExit('no image')", 60, "no image")],
)
def test_failed_command_is_measured_with_the_reason(code, limit_s, note):
    assert memory.command_peak([sys.executable, "-c", code], limit_s)["note"] == note


def test_a_model_and_its_optimizer_state_are_counted():
    model = torch.nn.Linear(1000, 500, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    assert memory.held_megabytes(model, optimizer) == memory.held_megabytes(model) == 2.0
    model(torch.ones(1, 1000)).sum().backward()
    optimizer.step()
    assert memory.held_megabytes(model, optimizer) == 4.0
