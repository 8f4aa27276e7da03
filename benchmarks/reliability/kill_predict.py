"""Kill ``rotated-atss predict`` at random moments, repeat the command, and compare with an uninterrupted run.

    python benchmarks/reliability/kill_predict.py [--kills 50] [--seed 0] [--images 12] [--record]

The detector costs nothing (``stub_predict.py``), so that all moments of the rest are hit. Every third kill waits for
the final renames. After a run that ends by itself, the output is compared byte for byte and removed. Ends with an
error if a byte differs, or if an image is processed again that no kill has interrupted.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from benchmarks.reliability.kills import compare, read_tree, run_forked, run_script
from benchmarks.reliability.stub_predict import predict_with_stub

FINAL_RENAMES = "predict.partial/moves.json"
MAX_RUNS_PER_KILL = 20


def kill_runs(folder: Path, kills: int, seed: int, images: int) -> dict[str, object]:
    """Kill runs of one command until ``kills`` have been killed; see :func:`run_script`."""
    draw = random.Random(seed)
    write_images(folder / "images", images, seed)
    begin = time.monotonic()
    assert run(folder, "expected") == 0
    seconds, expected = time.monotonic() - begin, read_tree(folder / "expected")
    killed = renames = complete = 0
    for number in range(MAX_RUNS_PER_KILL * kills):
        if killed == kills:
            break
        at_renames = number % 3 == 2
        moment = random_moment(folder / "out", seconds, draw, at_renames=at_renames)
        code = run(folder, "out", moment)
        killed, renames = killed + (code == -signal.SIGKILL), renames + (code == -signal.SIGKILL and at_renames)
        complete_at_kill = (folder / "out" / "detections").exists() and not (
            folder / "out" / "predict.partial"
        ).exists()
        if code == 0 or complete_at_kill:
            complete += compare(folder / "out", expected)
    assert run(folder, "out") == 0
    complete += compare(folder / "out", expected)
    processed = (folder / "log.txt").read_text().split().count("image") - images
    if processed > complete * images + killed:
        sys.exit(f"{processed} images processed in {complete} complete runs of {images} images and {killed} kills")
    return {
        "kills": killed, "kills_in_final_renames": renames, "complete_runs": complete, "images_per_run": images,
        "images_repeated": processed - complete * images, "files_compared": complete * len(expected), "different": 0,
    }  # fmt: skip


def run(folder: Path, out: str, is_moment: Callable[[float], bool] = lambda passed: False) -> int:
    """Run the command in a forked process; it appends a line per image to ``log.txt``. Return its exit code."""

    def command() -> int:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        if out == "expected":
            os.dup2(null, 2)
        words = [folder / "images", "--out", folder / out, "--json", folder / out / "results.json", "--size", "96"]
        return predict_with_stub([*map(str, words), "--gap", "32"], folder / "log.txt")

    return run_forked(command, is_moment)


def random_moment(out: Path, seconds: float, draw: random.Random, *, at_renames: bool) -> Callable[[float], bool]:
    """Return the moment of a kill: within the duration of a run, or shortly after the final renames began."""
    after, delay, begin = draw.uniform(0, seconds), draw.uniform(0, 0.01), [0.0]
    if not at_renames:
        return lambda passed: passed > after

    def is_moment(passed: float) -> bool:
        if not begin[0] and (out / FINAL_RENAMES).exists():
            begin[0] = passed
        return bool(begin[0]) and passed > begin[0] + delay

    return is_moment


def write_images(folder: Path, count: int, seed: int) -> None:
    """Write noise that is smooth enough to compress, in several sizes."""
    import cv2

    folder.mkdir()
    generator = np.random.default_rng(seed)
    for index in range(count):
        small = generator.integers(0, 256, (20 + 8 * (index % 5), 60, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"P{index:04d}.png"), cv2.resize(small, None, fx=6, fy=6))


if __name__ == "__main__":
    run_script("kill_predict", __doc__, kill_runs, kills=50, seed=0, images=12)
