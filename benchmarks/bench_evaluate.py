"""Evaluating a million detections of 500 images: rotated-atss at ten IoU thresholds, dotadevkit at the one it knows.

    python benchmarks/bench_evaluate.py [--detections 1000000] [--beside 50000] [--repeats 5]

Invented detections and labels of DOTA's 15 classes (task1.py), an object to five detections, text files included.
Memory is that of the command `rotated-atss evaluate`. dotadevkit takes minutes for a million: beside it --beside of
them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import bar, environment, save, show_bars, table, time_one, time_pair
from benchmarks.memory import command_megabytes
from benchmarks.task1 import MIX, write_merged
from rotated_atss.cli import main as rotated_atss

IMAGES = 500
DETECTIONS_PER_OBJECT = 5


DETECTIONS, BESIDE = 1_000_000, 50_000


def command(data: Path) -> list[str]:
    folders = ["--detections", data / "detections", "--labels", data / "labelTxt"]
    return ["evaluate", *map(str, folders), "--json", str(data / "ap.json"), "--quiet"]


def ours(data: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        rotated_atss(command(data))


def dotadevkit(data: Path) -> dict[str, float]:
    """AP50 of every class, by the loop of its own `evaluate`, which prints what is returned here."""
    from dotadevkit.evaluate.task1 import voc_eval

    paths = data / "detections" / "Task1_{:s}.txt", data / "labelTxt" / "{:s}.txt", data / "images.txt"
    told = dict(ovthresh=0.5, use_07_metric=True, version="1.0")
    with contextlib.redirect_stdout(io.StringIO()):
        return {name: float(voc_eval(*map(str, paths), name, **told)[2]) for name in MIX}


def largest_difference(data: Path) -> float:
    """Of a class's AP50, ours and dotadevkit's."""
    import json

    found = json.loads((data / "ap.json").read_text(encoding="utf-8"))["per_class"]
    return max(abs(found[name]["AP50"] - ap) for name, ap in dotadevkit(data).items())


def write(folder: Path, detections: int) -> int:
    written = write_merged(folder, detections, detections // DETECTIONS_PER_OBJECT, IMAGES)
    images = sorted(path.stem for path in (folder / "labelTxt").iterdir())
    (folder / "images.txt").write_text("\n".join(images) + "\n", encoding="utf-8")
    return written


def measure_all(count: int, repeats: int, folder: Path) -> dict[str, Any]:
    written = write(folder, count)
    size = round(sum(path.stat().st_size for path in folder.rglob("*.txt")) / 1e6, 1)
    seconds = time_one(lambda: ours(folder), repeats)
    memory = command_megabytes([sys.executable, "-m", "rotated_atss", *command(folder)])
    return {"images": IMAGES, "detections": written, "input_mb": size, "ours": seconds, "ours_peak_mb": memory}


def measure_beside(count: int, repeats: int, folder: Path) -> dict[str, Any]:
    written = write(folder, count)
    peer = dict(peer_repeats=1, peer_warmup=0)
    pair = time_pair(lambda: ours(folder), lambda: dotadevkit(folder), repeats, **peer)
    differ = largest_difference(folder)
    return {"images": IMAGES, "detections": written, **pair, "largest_ap50_difference": differ}


def bars(alone: dict[str, Any], beside: dict[str, Any]) -> list[dict[str, Any]]:
    """What was promised of a million, of which a trial with fewer says nothing."""
    whole, compared = alone["detections"] >= 0.9 * DETECTIONS, beside["detections"] >= 0.9 * BESIDE
    return [
        bar("evaluating a million detections at ten thresholds: seconds", alone["ours"]["median"] if whole else None,
            at_most=10),
        bar("evaluating them: peak MB of all processes", alone["ours_peak_mb"] if whole else None, at_most=1000),
        bar("evaluating: times faster than dotadevkit at one threshold", beside["ratio"] if compared else None,
            at_least=10),
        bar("evaluating: a class's AP50 off dotadevkit's", beside["largest_ap50_difference"], at_most=1e-9),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=int, default=DETECTIONS)
    parser.add_argument("--beside", type=int, default=BESIDE)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench_evaluate_"))
    try:
        alone = measure_all(args.detections, args.repeats, folder / "all")
        beside = measure_beside(args.beside, args.repeats, folder / "beside")
    finally:
        shutil.rmtree(folder)
    rows = [alone, beside]
    shown = ["detections", "ours_s", "dotadevkit_s", "ratio", "ours_peak_mb", "largest_ap50_difference"]
    print(table([{**row, "ours_s": row["ours"]["median"], "dotadevkit_s": row.get("peer", {}).get("median")}
                 for row in rows], shown))  # fmt: skip
    promises = bars(alone, beside)
    print(show_bars(promises))
    payload = {"peer": "dotadevkit", "environment": environment(), "results": rows, "bars": promises}
    print(save("evaluate", payload))


if __name__ == "__main__":
    main()
