"""Merging a million tile detections into full images: rotated-atss beside dotadevkit, files included.

    python benchmarks/bench_merge.py [--detections 1000000] [--repeats 3] [--processes 2]

Invented tiles of 500 images (task1.py), two processes each; in one case of DOTA's 15 classes, in the other all of one
class, which dotadevkit leaves to one process. Memory is that of the command `rotated-atss merge` with its processes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import bar, environment, save, show_bars, table, time_one, time_pair
from benchmarks.memory import command_megabytes
from benchmarks.task1 import MIX, ONE_CLASS, write_tiles
from rotated_atss.dota.detections import list_task1_files, read_detections, task1_path
from rotated_atss.tiling.merge_text import merge_folder

IMAGES = 500
IOU_THRESHOLD = 0.1
CASES = {"15 classes": MIX, "one class": ONE_CLASS}


def compare(ours: Path, theirs: Path) -> dict[str, int]:
    """How many merged rows are the same, and how many of ours have a twin of the same score instead (a tie)."""
    same = tied = other = 0
    for name, path in list_task1_files(theirs).items():
        mine, yours = (_rows(file) for file in (task1_path(ours, name), path))
        same += len(mine & yours)
        scores = {row[:2] for row in yours - mine}
        for row in mine - yours:
            tied, other = (tied + 1, other) if row[:2] in scores else (tied, other + 1)
    return {"same": same, "tied": tied, "different": other}


def _rows(path: Path) -> set[tuple]:
    found = read_detections(path)
    return set(zip(found.image_ids.tolist(), found.scores.tolist(), map(tuple, np.round(found.polygons, 6).tolist())))


def measure(case: str, count: int, repeats: int, processes: int, folder: Path) -> dict[str, Any]:
    from dotadevkit.ops.ResultMerge import mergebypoly

    tiles, ours, theirs = (folder / name for name in ("tiles", "ours", "theirs"))
    written = write_tiles(tiles, count, IMAGES, CASES[case])
    pair = time_pair(
        lambda: merge_folder(tiles, ours, IOU_THRESHOLD, workers=processes, progress=False),
        lambda: mergebypoly(tiles, theirs, processes, IOU_THRESHOLD),
        repeats, peer_repeats=1, peer_warmup=0,
    )  # fmt: skip
    rows = compare(ours, theirs)
    alone = time_one(lambda: merge_folder(tiles, ours, IOU_THRESHOLD, workers=1, progress=False), repeats)
    command = [sys.executable, "-m", "rotated_atss", "merge", tiles, "--out", ours, "--workers", processes, "--quiet"]
    size = round(sum(path.stat().st_size for path in tiles.iterdir()) / 1e6, 1)
    told = {"case": case, "images": IMAGES, "detections": written, "input_mb": size, "processes": processes}
    memory = command_megabytes([*map(str, command)])
    return {**told, **pair, "ours_one_process": alone, "ours_peak_mb": memory, "rows": rows}


def bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seconds = max(row["ours"]["median"] for row in rows)
    memory = max((row["ours_peak_mb"] for row in rows if row["ours_peak_mb"] is not None), default=None)
    whole = all(row["detections"] >= 900_000 for row in rows)  # a trial with fewer says nothing of a million
    return [
        bar("merging a million detections of 500 images: seconds", seconds if whole else None, at_most=20),
        bar("merging them: peak MB of all processes", memory if whole else None, at_most=1000),
        bar("merging: times faster than dotadevkit", min(row["ratio"] for row in rows), at_least=10),
        bar("merging: rows unlike dotadevkit's", sum(row["rows"]["different"] for row in rows), at_most=0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    rows = []
    for case in CASES:
        folder = Path(tempfile.mkdtemp(prefix="bench_merge_"))
        try:
            rows.append(measure(case, args.detections, args.repeats, args.processes, folder))
        finally:
            shutil.rmtree(folder)
    shown = ["case", "detections", "processes", "ours_s", "dotadevkit_s", "ratio", "ours_1_process_s", "ours_peak_mb"]
    print(table([{**row, "ours_s": row["ours"]["median"], "dotadevkit_s": row["peer"]["median"],
                  "ours_1_process_s": row["ours_one_process"]["median"]} for row in rows], shown))  # fmt: skip
    print("\n".join(f"{row['case']}: rows after merging: {row['rows']}" for row in rows))
    promises = bars(rows)
    print(show_bars(promises))
    payload = {"peer": "dotadevkit", "environment": environment(), "results": rows, "bars": promises}
    print(save("merge", payload))


if __name__ == "__main__":
    main()
