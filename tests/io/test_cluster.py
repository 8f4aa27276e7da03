"""Jobs on a local Dask cluster of two worker processes: results, errors, and a worker killed in the middle."""

from __future__ import annotations

import operator
import os
import signal
import time
from pathlib import Path

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io import cluster as cluster_module
from rotated_atss.io.cluster import check_cluster, describe_worker
from rotated_atss.io.processes import run_jobs

distributed = pytest.importorskip("distributed")


def run(cluster, function, jobs):
    return sorted(run_jobs(function, jobs, 1, [1] * len(jobs), scheduler=cluster.scheduler_address))


def report_and_sleep(folder):
    """Write the id of this process, then work for a while."""
    (Path(folder) / f"{time.monotonic_ns()}-{os.getpid()}").touch()
    time.sleep(0.3)
    return os.getpid()


def refuse(job):
    raise UserError(f"job {job} is wrong", where="P1.png:3", hint="fix it")


@pytest.mark.slow
def test_jobs_run_on_all_workers(dask_cluster):
    assert run(dask_cluster, operator.neg, list(range(30))) == [(job, -job) for job in range(30)]
    assert run(dask_cluster, operator.neg, []) == []


@pytest.mark.slow
def test_an_error_of_a_job_is_raised_unchanged(dask_cluster):
    with pytest.raises(UserError) as caught:
        run(dask_cluster, refuse, [7, 7, 7])
    assert str(caught.value) == "P1.png:3: job 7 is wrong (fix it)"


@pytest.mark.slow
def test_jobs_of_a_killed_worker_are_run_again(own_dask_cluster, tmp_path):
    jobs = run_jobs(report_and_sleep, [str(tmp_path)] * 12, 1, [1] * 12, scheduler=own_dask_cluster.scheduler_address)
    results = [next(jobs) for _ in range(3)]
    victim = results[-1][1]
    os.kill(victim, signal.SIGKILL)
    results += jobs
    assert sorted(index for index, _ in results) == list(range(12))
    assert victim not in {process for _, process in results[5:]}
    assert len(list(tmp_path.iterdir())) >= 12


@pytest.mark.slow
def test_workers_are_checked_before_the_jobs(dask_cluster, tmp_path, monkeypatch):
    address = dask_cluster.scheduler_address
    assert check_cluster(address, [tmp_path]) == 2
    with pytest.raises(UserError, match=r"--scheduler: the worker tcp://.* does not see /no/such/folder \(inputs and"):
        check_cluster(address, [tmp_path, "/no/such/folder"])
    monkeypatch.setattr("rotated_atss.__version__", "0.0.0")
    with pytest.raises(UserError, match=r"has version .*, this program has 0\.0\.0"):
        check_cluster(address, [])


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(UserError, match=r"--scheduler: no Dask scheduler answers at tcp://127\.0\.0\.1:1: "):
        check_cluster("tcp://127.0.0.1:1", [])


def test_a_cluster_without_workers(monkeypatch):
    monkeypatch.setattr(cluster_module, "NO_WORKERS_TIMEOUT_S", 0.2)
    monkeypatch.setattr(cluster_module, "_POLL_S", 0.1)
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty:
        with pytest.raises(UserError, match="the cluster has no workers"):
            check_cluster(empty.scheduler_address, [])
        with pytest.raises(UserError, match="has lost all workers"):
            run(empty, operator.neg, [1, 2])


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(
        UserError, match=r'distributed is not installed \(run: pip install "rotated-atss\[distributed\]"'
    ):
        check_cluster("tcp://127.0.0.1:1", [])


def test_a_worker_describes_itself(tmp_path):
    assert describe_worker([str(tmp_path), str(tmp_path / "none")])[1] == [str(tmp_path / "none")]
