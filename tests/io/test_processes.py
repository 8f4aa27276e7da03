"""Process pools: results, order, memory limit, errors and interruption."""

import multiprocessing
import operator
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rotated_atss.io.processes
from rotated_atss.errors import UserError
from rotated_atss.io.processes import _fits_into_memory, available_cores, run_jobs

ROOT = Path(rotated_atss.io.processes.__file__).parents[1]


def fail(job):
    raise UserError(f"job {job} is wrong", where="P1.png:3", hint="fix it")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_runs_once(workers):
    jobs = list(range(20))
    assert sorted(run_jobs(operator.neg, jobs, workers, jobs)) == [(job, -job) for job in jobs]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_above_the_memory_limit_still_runs(workers):
    assert sorted(run_jobs(operator.neg, [1, 2, 3], workers, [50, 60, 70], max_memory_bytes=10)) == [
        (0, -1),
        (1, -2),
        (2, -3),
    ]


def test_largest_jobs_start_first():
    order = [index for index, _ in run_jobs(operator.neg, [1, 2, 3, 4], 1, [10, 40, 20, 30])]
    assert order == [1, 3, 2, 0]


def test_jobs_run_together_within_the_memory_limit():
    sizes = [30, 40, 50]
    assert _fits_into_memory(2, [], sizes, max_memory_bytes=10)
    assert _fits_into_memory(1, [0], sizes, max_memory_bytes=70)
    assert not _fits_into_memory(2, [0], sizes, max_memory_bytes=70)


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_job_is_raised_unchanged(workers):
    with pytest.raises(UserError) as caught:
        list(run_jobs(fail, [7, 7, 7], workers, [1, 1, 1]))
    assert str(caught.value) == "P1.png:3: job 7 is wrong (fix it)"
    assert not multiprocessing.active_children()


def test_death_of_a_worker_raises():
    with pytest.raises(UserError, match=r"a worker process died.*--workers"):
        list(run_jobs(os._exit, [9, 9], 2, [1, 1]))


def test_closed_generator_leaves_no_process():
    jobs = run_jobs(time.sleep, [0.01] * 50, 2, [1] * 50)
    next(jobs)
    started = time.monotonic()
    jobs.close()
    assert not multiprocessing.active_children()
    assert time.monotonic() - started < 5


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_workers_exit_with_a_killed_parent():
    script = (
        "import time, multiprocessing; from rotated_atss.io.processes import run_jobs\n"
        "jobs = run_jobs(time.sleep, [0, 60, 60], 2, [3, 2, 1]); next(jobs)\n"
        "print(*[child.pid for child in multiprocessing.active_children()], flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    workers = process.stdout.readline().split()
    assert len(workers) == 2
    assert all(map(is_running, workers))
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_running, workers))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_jobs():
    assert list(run_jobs(operator.neg, [], 3, [])) == []


def test_at_least_one_core_is_available():
    assert available_cores() >= 1
