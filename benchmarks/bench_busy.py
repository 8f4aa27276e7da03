"""Assignment, IoU, a training step and inference beside other busy processes.

Three processes take turns: one with torch's defaults, one that sets up its threads as this package's commands do, one
with a single thread. Beside them run 0, 1 or 2 processes in endless loops. A task gets its share of the cores if it
takes no longer than one thread that has the share of a core that the scheduler leaves: a whole core while there are
fewer busy processes than cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.records import ROOT, Record, Row, target
from rotated_atss.io.cpu_threads import follow_cpu_load, set_wait_policy, update_threads
from rotated_atss.io.processes import available_cores

OPTIONS = dict(seconds=1.5, repeats=5)

TASKS = ("assign", "iou", "train", "predict")
DEFAULT, COMMAND, ONE = "torch's defaults", "as a command", "one thread"
SETTLE_S = 2.1  # the number of threads follows the load once per second
DEMO = "rotated_atss_obb_r18_demo_le90"


class Worker:
    """A process that measures tasks with its own setting of threads."""

    def __init__(self, setting: str) -> None:
        environment = {name: value for name, value in os.environ.items() if "OMP_" not in name and "MKL_" not in name}
        if setting == ONE:
            environment["OMP_NUM_THREADS"] = "1"
        code = f"from benchmarks import bench_busy; bench_busy.work({setting == COMMAND})"
        command = [sys.executable, "-W", "ignore", "-c", code]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, bufsize=1, **pipes)

    def median_ms(self, task: str, seconds: float) -> float:
        """Return the median duration of a task in milliseconds."""
        self.process.stdin.write(f"{task} {seconds}\n")
        for line in self.process.stdout:
            if line.startswith("median "):
                return float(line.split()[1])
        raise RuntimeError(f"the process that measures {task} ended")


def measure(args: argparse.Namespace) -> Record:
    workers = {setting: Worker(setting) for setting in (DEFAULT, COMMAND, ONE)}
    try:
        rows = [row for busy in (0, 1, 2) for row in measure_rows(workers, busy, args.seconds, args.repeats)]
    finally:
        for worker in workers.values():
            worker.process.kill()
    return {"rows": rows, "targets": targets(rows)}


def measure_rows(workers: dict[str, Worker], busy: int, seconds: float, repeats: int) -> list[Row]:
    """Return one row per setting: the median over all repeats of each task's milliseconds."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    rows: list[Row] = [{"setting": setting, "busy": busy} for setting in workers]
    try:
        for task in TASKS:
            turns = [[worker.median_ms(task, seconds) for worker in workers.values()] for _ in range(repeats)]
            for row, durations in zip(rows, zip(*turns)):
                row[task] = round(statistics.median(durations), 2)
    finally:
        for process in others:
            process.kill()
            process.wait()
    return rows


def work(follow: bool) -> None:
    """Measure the task named by each line of the standard input in this process."""
    if follow:
        set_wait_policy()
        follow_cpu_load()
    import torch

    torch.manual_seed(0)
    functions = tasks()
    for line in sys.stdin:
        task, seconds = line.split()
        print("median", median_ms(functions[task], float(seconds)), flush=True)


def tasks() -> dict[str, Callable[[], Any]]:
    import torch

    from benchmarks import inputs, models
    from rotated_atss.assign import atss_assign, square_priors
    from rotated_atss.ops import rotated_iou

    priors, sizes, _ = square_priors((1024, 1024))
    crowd = inputs.crowd(5000)
    first, second = (boxes.float() for boxes in inputs.pairs("random", 100_000))
    model = models.build_own(DEMO).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    batch, tiles = models.batch(4, 20, 256), models.batch(4, 20, 256)

    def train() -> None:
        loss, _ = model.parse_losses(model.train()(**model.data_preprocessor(batch, True), mode="loss"))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def predict() -> None:
        with torch.inference_mode():
            model.eval().test_step(tiles)

    return {
        "assign": lambda: atss_assign(priors, sizes, crowd),
        "iou": lambda: rotated_iou(first, second, aligned=True),
        "train": train,
        "predict": predict,
    }


def median_ms(task: Callable[[], Any], seconds: float) -> float:
    """Return the median duration of a task in milliseconds, after the threads have settled."""
    durations: list[float] = []
    begin = time.monotonic()
    while (elapsed := time.monotonic() - begin) < SETTLE_S + seconds or not durations:
        start = time.perf_counter()
        task()
        if elapsed > SETTLE_S:
            durations.append(time.perf_counter() - start)
        update_threads()
    return statistics.median(durations) * 1e3


def targets(rows: list[Row]) -> list[Row]:
    """Compare with torch's defaults on an idle machine, and with the share of the cores on a busy one."""
    by_key = {(row["setting"], row["busy"]): row for row in rows}
    cores, found = available_cores(), []
    for task in TASKS:
        idle = by_key[COMMAND, 0][task] / by_key[DEFAULT, 0][task]
        found.append(target(f"{task} on an idle machine, time over torch's defaults", round(idle, 3), at_most=1.03))
        for busy in (1, 2):
            share = 1.0 if busy < cores else cores / (busy + 1)
            ratio = by_key[COMMAND, busy][task] / (by_key[ONE, 0][task] / share)
            name = f"{task} beside {busy} busy processes, time over one thread's share of a core"
            found.append(target(name, round(ratio, 3), at_most=1.1))
    return found
