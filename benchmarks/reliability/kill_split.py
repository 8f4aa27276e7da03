"""Kill a split at random moments, repeat its command, and compare the result with an uninterrupted run byte for byte.

    python benchmarks/reliability/kill_split.py [--kills 50] [--seed 0] [--workers 2] [--out RECORD.json]

Each round starts ``rotated-atss split`` on synthetic scenes with labels, kills its process with SIGKILL at a moment
drawn evenly from the duration of an uninterrupted run, and repeats the command until it succeeds. Every second round
kills the continued run once more; every third round replaces an earlier split with --overwrite; every fourth is a run
of two shards, of which the first is killed. Prints what remained after each kill, and writes a record.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.records import ROOT, Row, environment
from rotated_atss.synthetic import generate_scenes

WINDOWS = ["--size", "256", "--gap", "64", "--rates", "0.5", "1.0"]

COMPLETE = "no unfinished split"


def command(data: Path, out: Path, workers: int, *more: str) -> list[str]:
    """Return the command of a split."""
    folders = ["--images", str(data / "images"), "--labels", str(data / "labelTxt"), "--out", str(out)]
    return [sys.executable, "-m", "rotated_atss", "split", *folders, *WINDOWS, "--workers", str(workers), *more]


def run_until(words: list[str], seconds: float) -> bool:
    """Run a command and kill it after some seconds; return whether it was still running."""
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
    return False


def finish(words: list[str]) -> str:
    """Run a command to its end and return its output; a split that a kill found complete is not an error."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode and "contains a finished split" not in done.stderr:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout + done.stderr


def digest(folder: Path) -> dict[str, str]:
    """Return a digest per file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


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
    row |= {"replaced": replaced, "shards": bool(shards), "files": digest(out)}
    return row


def measure(kills: int, seed: int, workers: int, scenes: int) -> Row:
    """Run rounds until there were enough kills, and compare every result."""
    rng, rows = random.Random(seed), []
    with tempfile.TemporaryDirectory(prefix="kill_split_") as name:
        folder = Path(name)
        generate_scenes(folder / "data", scenes, size_wh=(700, 600), seed=seed, progress=False)
        finish(command(folder / "data", folder / "whole", workers))
        started = time.perf_counter()
        finish(command(folder / "data", folder / "timed", workers))
        seconds, expected = time.perf_counter() - started, digest(folder / "whole")
        while sum(row["kills"] for row in rows) < kills:
            row = kill_round(len(rows), folder / "data", folder, seconds, workers, rng)
            files = row.pop("files")
            row["differing_files"] = sum(files.get(file) != expected.get(file) for file in {*files, *expected})
            rows.append(row)
            print(f"round {len(rows)}: {row}", flush=True)
    states = Counter(state for row in rows for state in row["states"])
    return {
        "settings": {"kills": kills, "seed": seed, "workers": workers, "images": scenes, "files": len(expected)},
        "kills": sum(row["kills"] for row in rows),
        "rounds": len(rows),
        "states": dict(sorted(states.items())),
        "continued": sum(row["continued_with"] > 0 for row in rows),
        "differing_files": sum(row["differing_files"] for row in rows),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="number of kills (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and scenes (default: 0)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the split (default: 2)")
    parser.add_argument("--images", type=int, default=24, help="number of scenes (default: 24)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/kill_split.json", help="JSON record")
    args = parser.parse_args()
    where = environment()
    record = {"name": "kill_split", "environment": where, **measure(args.kills, args.seed, args.workers, args.images)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{record['kills']} kills, {record['differing_files']} differing files: {args.out}")
    return int(record["differing_files"] > 0)


if __name__ == "__main__":
    sys.exit(main())
