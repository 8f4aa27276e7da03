"""Write docs/benchmarks.md and the README's table from benchmarks/results/*.json. Every figure there comes from a
record; none is typed.

    python benchmarks/make_table.py [--check] [--show]

With --check nothing is written: the exit status says whether the page is what the records make.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import headline, table_files, table_network, table_others
from benchmarks.cells import Rows, markdown, milli, mistakes, number, per
from benchmarks.harness import RESULTS, ROOT, bar

PAGE = ROOT / "docs" / "benchmarks.md"

Record = dict[str, Any]

HEAD = """\
# Benchmarks

Made by `make bench-table` from the records in `benchmarks/results/`; the rules are in
[benchmarks/README.md](../benchmarks/README.md). Ours and the peer ran in turns in one process on the same input.
Times are medians with the fastest and the slowest run behind them. Compare ratios, not seconds, with another machine.
"""

TITLES = {
    "iou": "Rotated IoU beside mmcv",
    "nms": "Rotated NMS beside mmcv",
    "assign": "Assignment beside mmrotate",
    "max_iou": "RetinaNet's assignment beside MMDetection",
    "train_step": "A training step of the R50 le90 config beside mmrotate",
    "inference": "Inference beside mmrotate",
    "split": "Splitting beside mmrotate and dotadevkit",
    "merge": "Merging beside dotadevkit",
    "evaluate": "Evaluation beside dotadevkit",
    "others": "Beside supervision, sahi and ultralytics",
}
PEERS = {"iou": "mmcv", "nms": "mmcv", "assign": "mmrotate", "max_iou": "MMDetection"}


def load(folder: Path) -> list[Record]:
    """All records: in the order of :data:`TITLES`, the CPU's before those of GPUs."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    known = [record for record in records if record["name"] in TITLES]
    order = list(TITLES)
    return sorted(known, key=lambda record: (order.index(record["name"]), record["environment"]["device"] != "cpu"))


def pages(records: Sequence[Record]) -> dict[Path, str]:
    """What is made of the records: this page, and the README with its table."""
    readme = headline.README
    return {PAGE: page(records), readme: headline.filled(readme.read_text(encoding="utf-8"), records)}


def page(records: Sequence[Record]) -> str:
    parts = [HEAD, *promises(records), *(section(record) for record in records), *not_measured(records)]
    return "\n".join(parts)


def promises(records: Sequence[Record]) -> list[str]:
    """One table of every bar, met or missed."""
    words = {True: "met", False: "**missed**", None: "not measured"}
    rows = [
        {
            "promise": each["claim"], "on": record["environment"]["device"],
            "bar": f"≥ {each['at_least']:g}" if "at_least" in each else f"≤ {each['at_most']:g}",
            "measured": number(each["measured"]), "": words[each["met"]],
        }
        for record in records for each in bars_of(record)
    ]  # fmt: skip
    return [f"## Promises\n\n{markdown(rows)}\n"] if rows else []


def bars_of(record: Record) -> list[dict[str, Any]]:
    """The record's own, or what was promised of splitting and merging before records held it."""
    results = record["results"]
    if "bars" in record:
        return record["bars"]
    if record["name"] == "split":
        ratios = [row["ratio"] for row in results if row["against"] == "mmrotate" and row["isal"]]
        return [bar("splitting: times faster than mmrotate's tool", min(ratios, default=None), at_least=1)]
    if record["name"] == "merge":
        return [bar("merging: times faster than dotadevkit", results[0]["ratio"], at_least=5)]
    return []


def section(record: Record) -> str:
    """Title, who measured, table, remarks."""
    where = record["environment"]
    gpu = "" if where["device"] == "cpu" else f", {where['device']}"
    rows, remarks = SECTIONS[record["name"]](record)
    missing = record.get("peer_missing")
    if missing:
        remarks = [*remarks, f"Peer: {missing}."]
    lines = [f"## {TITLES[record['name']]}{gpu}", "", markdown(rows), *(f"\n{remark}" for remark in remarks)]
    return "\n".join([*lines, "", f"<sub>{provenance(record['name'], where)}</sub>", ""])


def provenance(name: str, where: dict[str, Any]) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in where["versions"].items())
    load = where.get("load_before")
    machine = f"{where['cpu']}, {where['cores']} cores, {where['threads']} threads, {where['device']}"
    busy = "" if load is None else f", load {load} before"
    return f"bench_{name}.py, commit {where['commit']}; {machine}{busy}; {versions}"


def not_measured(records: Sequence[Record]) -> list[str]:
    """What the page should hold and no record does."""
    on_cpu = {record["name"] for record in records if record["environment"]["device"] == "cpu"}
    missing = [f"- {TITLES[name]}: `python benchmarks/bench_{name}.py`" for name in TITLES if name not in on_cpu]
    if all(record["environment"]["device"] == "cpu" for record in records):
        missing.append(
            "- IoU, NMS, assignment, a training step and inference on a GPU: `make bench-gpu` where there is one"
        )
    return ["\n".join(["## Not measured yet", "", *missing, ""])] if missing else []


# -- the table of each benchmark: rows and remarks ---------------------------------------------------------------------


def iou(record: Record) -> tuple[Rows, list[str]]:
    rows = []
    for row in record["results"]:
        count, error = row["pairs"], row["peer_error"] or {}
        rows.append({
            "pairs": f"{count:,}", "kind": row["title"], "precision": row["dtype"],
            "ours, ns a pair": per(row["ours"], count), "mmcv, ns a pair": per(row.get("peer"), count),
            "ratio": number(row.get("ratio")),
            "ours, worst error": number(row["ours_error"]["worst"]), "mmcv, worst error": number(error.get("worst")),
            "mmcv, share off by more than 0.01": number(error.get("wrong_share")),
        })  # fmt: skip
    judged = (
        "Errors in float32 are judged by the closed form in float64 on all pairs, those in float64 by rational "
        "arithmetic on some, the most doubtful among them."
    )
    return rows, [_shapely(record["results"]), judged, *_arithmetic(record["results"])]


def _arithmetic(results: Rows) -> list[str]:
    """What share of a GPU's arithmetic the crowd reached."""
    return [
        f"{row['title']}: {row['flops_a_pair']} operations a pair, {number(row['tflops'])} TFLOP/s, "
        f"{row['share_of_peak']:.0%} of the float32 peak of {number(row['computed_peak_tflops'])} TFLOP/s, which is "
        "computed: processors x lanes x 2 x highest clock."
        for row in results
        if row.get("share_of_peak")
    ]


def _shapely(results: Rows) -> str:
    told = [row["shapely"] for row in results if "shapely" in row]
    differs, decided = (sum(each[key] for each in told) for key in ("differs", "decided"))
    ours, theirs = (sum(each[key] for each in told) for key in ("ours_wrong", "shapely_wrong"))
    return (
        f"shapely in float64 differs from ours in float64 by more than 1e-9 on {differs:,} pairs; rational arithmetic "
        f"decided {decided:,} of them: ours wrong {ours:,} times, shapely {theirs:,} times."
    )


def nms(record: Record) -> tuple[Rows, list[str]]:
    rows = [
        {
            "scene": row["scene"], "boxes": row["boxes"], "kept": row["kept"], "ours, ms": milli(row["ours"]),
            "mmcv, ms": milli(row.get("peer")), "ratio": number(row.get("ratio")),
            "same boxes kept": {True: "yes", False: "no", None: ""}[row.get("same")],
            "ours, mistakes": mistakes(row["ours_mistakes"]), "mmcv, mistakes": mistakes(row.get("peer_mistakes")),
        }
        for row in record["results"]
    ]  # fmt: skip
    left_out = [row for row in record["results"] if row["peer_missing"] not in ("", record["peer_missing"])]
    told = [f"{row['scene']}: mmcv {row['peer_missing']}." for row in left_out]
    meant = "A mistake, judged in float64, is a box kept beside a better one that it overlaps, or dropped without one."
    return rows, [*told, meant]


def assign(record: Record) -> tuple[Rows, list[str]]:
    rows = [
        {
            "objects": row["objects"], "ours, ms": milli(row["ours"]), "mmrotate, ms": milli(row.get("peer")),
            "ratio": number(row.get("ratio")), "ours without grids, ms": milli(row.get("searched")),
            "ours, extra MB": row["ours_mb"], "mmrotate, extra MB": number(row.get("peer_mb")),
        }
        for row in record["results"]
    ]  # fmt: skip
    notes = [_sizes(record["sizes"]), _batch(record["batch"])] if "sizes" in record else []
    return rows, [*notes, *([_scenes(record["comparisons"])] if record["comparisons"] else [])]


def _sizes(row: dict[str, Any]) -> str:
    small, large = row["sizes"]
    return (
        f"{row['objects']} objects on {large} x {large} px: {milli(row['large'])} ms, {number(row['ratio'])} times the "
        f"{milli(row['small'])} ms on {small} x {small} px, measured in turns."
    )


def _batch(row: dict[str, Any]) -> str:
    return (
        f"{row['images']} images of {row['objects']} objects in one call: {milli(row['one_call'])} ms; in as many "
        f"calls: {milli(row['calls'])} ms."
    )


def _scenes(compared: Rows) -> str:
    rows = [
        {
            "scene": f"{row['scene']}, seed {row['seed']}", "objects": row["objects"], "positives": row["positives"],
            "differing": row["differing"], "why": ", ".join(f"{count} {why}" for why, count in row["causes"].items()),
        }
        for row in compared
    ]  # fmt: skip
    return f"The same assignment, prior by prior (each differing one is listed in the record):\n\n{markdown(rows)}"


def max_iou(record: Record) -> tuple[Rows, list[str]]:
    rows = [
        {
            "objects": row["objects"], "ours, ms": milli(row["ours"]), "MMDetection, ms": milli(row.get("peer")),
            "ratio": number(row.get("ratio")), "ours, extra MB": row["ours_mb"],
            "MMDetection, extra MB": number(row.get("peer_mb")),
            "differing priors": row.get("agreement", {}).get("differing", ""),
            "of them without a near tie": row.get("agreement", {}).get("unexplained", ""),
        }
        for row in record["results"]
    ]  # fmt: skip
    return rows, ["Nine priors a location, 196,416 in all; MMDetection's assigner with mmrotate's rotated IoU."]


SECTIONS: dict[str, Callable[[Record], tuple[Rows, list[str]]]] = {
    "iou": iou, "nms": nms, "assign": assign, "max_iou": max_iou, "train_step": table_network.train_step,
    "inference": table_network.inference, "split": table_files.split, "merge": table_files.merge,
    "evaluate": table_files.evaluate, "others": table_others.section,
}  # fmt: skip


def write(text: str, path: Path) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="say whether the page is up to date, write nothing")
    parser.add_argument("--show", action="store_true", help="print the page too")
    args = parser.parse_args()
    texts = pages(load(RESULTS))
    if args.show:
        print(texts[PAGE])
    if args.check:
        fresh = all(path.is_file() and path.read_text(encoding="utf-8") == text for path, text in texts.items())
        print(f"{PAGE.relative_to(ROOT)} {'is' if fresh else 'is not'} what the records make")
        return 0 if fresh else 1
    for path, text in texts.items():
        write(text, path)
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
