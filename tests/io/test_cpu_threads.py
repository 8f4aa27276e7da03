"""The wait policy of OpenMP and the number of threads on a busy machine."""

import os
import subprocess
import sys

import pytest
import torch

from rotated_atss.io import cpu_threads
from rotated_atss.io.cpu_threads import SpareCores, ThreadControl, follow_cpu_load, set_wait_policy, update_threads


@pytest.fixture(autouse=True)
def restore(monkeypatch):
    monkeypatch.setattr(cpu_threads, "_spare_cores", None)
    monkeypatch.setattr(cpu_threads, "_control", None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_a_policy_of_the_user_is_kept(name):
    environment = {name: "7"}
    assert not set_wait_policy(environment)
    assert environment == {name: "7"}


def test_the_policy_is_not_set_after_torch_is_imported(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert not set_wait_policy()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_every_command_sets_the_policy_before_torch_is_imported():
    code = "import os, sys; from rotated_atss.cli import main; main([]); print('torch' in sys.modules, os.environ)"
    environment = {key: value for key, value in os.environ.items() if key not in cpu_threads._WAIT_VARIABLES}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1].startswith("False")
    assert "'GOMP_SPINCOUNT': '200000'" in done.stdout


@pytest.mark.parametrize("spare, threads", [(0.4, 1), (1.0, 1), (1.4, 1), (1.7, 2), (3.3, 3), (4.0, 4), (40.0, 4)])
def test_threads_follow_the_spare_cores(spare, threads):
    control = ThreadControl(4, measure=lambda: spare, interval_s=0)
    control.update()
    assert control.threads == threads


def test_a_change_is_returned_once():
    spare = iter([4.0, 1.3, 1.3, 4.0])
    control = ThreadControl(4, measure=lambda: next(spare), interval_s=0)
    assert [control.update() for _ in range(4)] == [None, 1, None, 4]


def test_loads_between_the_two_limits_change_nothing():
    spare = iter([1.5, 1.4, 1.5, 1.65, 1.5])
    control = ThreadControl(2, measure=lambda: next(spare), interval_s=0)
    assert [control.update() for _ in range(5)] == [None, 1, None, 2, None]


def test_measurements_keep_their_interval():
    control = ThreadControl(2, measure=lambda: pytest.fail("measured too early"), interval_s=60)
    assert control.update() is None


def test_idle_cores_and_the_own_use_are_spare():
    samples = iter([(10.0, 100.0, 7.0), (14.0, 102.0, 11.0), (15.0, 102.0, 11.5)])
    spare = SpareCores(lambda: next(samples))
    assert spare.measure() == pytest.approx((2 + 4) / 4)
    assert spare.measure() == pytest.approx(0.5)


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="only Linux reports the load per core")
def test_the_load_of_this_machine_is_within_its_cores():
    spare = SpareCores()
    end = spare._last_times[0] + 0.2
    while spare._read_times()[0] < end:
        pass
    assert 0.1 < spare.measure() < len(os.sched_getaffinity(0)) + 0.5


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_of_threads_set_by_the_user_is_kept(name, monkeypatch):
    monkeypatch.setenv(name, "2")
    assert not follow_cpu_load()


def test_torch_follows_and_the_change_is_described(monkeypatch):
    torch.set_num_threads(2)
    spare = iter([1.2, 2.0])
    samples = SpareCores(lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(samples, "measure", lambda: next(spare))
    monkeypatch.setattr(cpu_threads, "_spare_cores", samples)
    monkeypatch.setattr(cpu_threads, "_control", ThreadControl(2, samples.measure, interval_s=0))
    assert update_threads() == "other processes use the CPU: 1 of 2 threads"
    assert torch.get_num_threads() == 1
    assert update_threads() == "the CPU is free again: 2 of 2 threads"
    assert torch.get_num_threads() == 2


def test_a_program_that_does_not_follow_the_load_keeps_its_threads():
    threads = torch.get_num_threads()
    assert update_threads() is None
    assert torch.get_num_threads() == threads
