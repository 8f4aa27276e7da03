"""Kill a split at random moments, repeat its command, and compare the result with an uninterrupted run byte for byte.

    python benchmarks/reliability/kill_split.py [--kills 50] [--seed 0] [--workers 2] [--images 24] [--record]

Each round starts ``rotated-atss split`` on synthetic scenes with labels, kills its process with SIGKILL at a moment
drawn evenly from the duration of an uninterrupted run, and repeats the command until it succeeds. Every second round
kills the continued run once more; every third round replaces an earlier split with --overwrite; every fourth is a run
of two shards, of which the first is killed. Prints what remained after each kill, and ends with an error if a byte
differs.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.records import ROOT, Row
from benchmarks.reliability.kills import compare, read_tree, run_script
from rotated_atss.synthetic import generate_scenes

WINDOWS = ["--size", "256", "--gap", "64", "--rates", "0.5", "1.0"]

COMPLETE = "no unfinished split"


def command(data: Path, out: Path, workers: int, *more: str) -> list[str]:
    folders = ["--images", str(data / "images"), "--labels", str(data / "labelTxt"), "--out", str(out)]
    return [sys.executable, "-m", "rotated_atss", "split", *folders, *WINDOWS, "--workers", str(workers), *more]


def run_until(words: list[str], seconds: float) -> bool:
    """Run a command and kill it after some seconds; return whether it was still running."""
    try:
        subprocess.run(words, cwd=ROOT, timeout=seconds, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:  # it has been killed with SIGKILL
        return True
    return False


def finish(words: list[str]) -> str:
    """Run a command to its end and return its output; it says so if a kill found the split complete."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout + done.stderr


def state_of(out: Path) -> str:
    """Describe what a killed run left."""
    if not out.exists():
        return "nothing"
    partial = out / "split.partial"
    if (partial / "moving").exists():
        return "during the final move"
    if not partial.exists():
        return COMPLETE if (out / "manifest.json").exists() else "before the first image"
    records = list(partial.glob("finished*.jsonl"))
    lines = sum(path.read_bytes().count(b"\n") for path in records)
    return "with finished images" if lines else "before the first finished image"


def kill_round(number: int, data: Path, folder: Path, seconds: float, workers: int, rng: random.Random) -> Row:
    """Kill one split and continue it; return what was observed."""
    out = folder / f"out{number}"
    shards = ["--shard", "1/2"] if number % 4 == 3 else []
    replaced = not shards and number % 3 == 2
    if replaced:
        finish(command(data, out, workers, "--drop-empty"))
    words = command(data, out, workers, *shards, *(["--overwrite"] if replaced else []))
    kills, states = 0, []
    for _ in range(1 + number % 2):
        kills += run_until(words, rng.uniform(0, seconds))
        states.append(state_of(out))
        if states[-1] == COMPLETE and not replaced:
            break
    text = finish(words)
    if shards:
        text += finish(command(data, out, workers, "--shard", "2/2"))
    continued = re.search(r"continuing: (\d+) of", text)
    row: Row = {"kills": kills, "states": states, "continued_with": int(continued[1]) if continued else 0}
    return row | {"replaced": replaced, "shards": bool(shards)}


def kill_splits(folder: Path, kills: int, seed: int, workers: int, images: int) -> Row:
    """Run rounds until there were enough kills, and compare every result; see :func:`run_script`."""
    rng, rows = random.Random(seed), []
    generate_scenes(folder / "data", images, size_wh=(700, 600), seed=seed, progress=False)
    finish(command(folder / "data", folder / "whole", workers))
    started = time.perf_counter()
    finish(command(folder / "data", folder / "timed", workers))
    seconds, expected = time.perf_counter() - started, read_tree(folder / "whole")
    while sum(row["kills"] for row in rows) < kills:
        row = kill_round(len(rows), folder / "data", folder, seconds, workers, rng)
        compare(folder / f"out{len(rows)}", expected)
        rows.append(row)
        print(f"round {len(rows)}: {row}", flush=True)
    states = Counter(state for row in rows for state in row["states"])
    return {
        "kills": sum(row["kills"] for row in rows), "rounds": len(rows), "states": dict(sorted(states.items())),
        "continued": sum(row["continued_with"] > 0 for row in rows), "files_compared": len(rows) * len(expected),
        "different": 0,
    }  # fmt: skip


if __name__ == "__main__":
    run_script("kill_split", __doc__, kill_splits, kills=50, seed=0, workers=2, images=24)
