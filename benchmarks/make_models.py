"""Write docs/models.md from the configs and the records benchmarks/results/models*.json. No figure there is typed.

    python benchmarks/make_models.py [--check]

With --check nothing is written: the exit status says whether the page is what configs and records make.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cells import markdown, number, spread
from benchmarks.harness import RESULTS, ROOT
from benchmarks.make_table import write
from benchmarks.zoo import Card, card
from rotated_atss.configs import config_names

PAGE = ROOT / "docs" / "models.md"
MISSING = "not measured yet"
ORDER = ("dota", "coco", "ablation", "demo")
TITLES = {
    "dota": "Oriented boxes, DOTA",
    "coco": "Horizontal boxes, COCO",
    "ablation": "The paper's ablations",
    "demo": "The demo",
}
WIDE = "1344x800"

Record = dict[str, Any]
Row = dict[str, Any]

HEAD = """\
# Models

Made by `make models-table` from the configs and the records in `benchmarks/results/`.

- **Published** figures are other people's, of the model that a config reproduces; each stands with its source. A config
  for which none is given shows none, also where the one it inherits from has one.
- **Ours** are figures measured by this project, each listed below with its data, commit, device and command.
- **Positives**: how they are chosen, and whether oriented boxes (obb) or the horizontal boxes around them (hbb) decide.
- **Parameters** are all weights, frozen ones included. **GFLOPs** are the convolutions of backbone, neck and head for
  one image; a multiply-add counts as one, as in the figures that MMDetection and mmrotate publish.
- `atss_official_*` with R50 and R101 have fewer **GFLOPs** than the configs of the same name without `official`: the
  stride of a stage is in its first 1 x 1 convolution (caffe's style) instead of the 3 x 3 one, so that convolution
  works on a quarter of the places. With ResNeXt it is in the 3 x 3 one for both, and they cost the same. Their few
  **parameters** more are biases of the head's towers, which add no multiplication.
- **s an image** and **peak MB**: one inference of untrained weights on 1024 x 1024 random pixels, median (fastest to
  slowest), and its memory beyond the weights. `benchmarks/bench_models.py` says what is counted.
"""

COMMANDS = """\
The first one is trained and tested by these commands. For another put its name there, and in the last line the
checkpoint that its training leaves: `epoch_N.pth` or `iter_N.pth`, N as in the column *trained for*.

    NAME={name}
    python tools/train.py $NAME
    python tools/test.py $NAME work_dirs/$NAME/{checkpoint}
"""


@dataclass(frozen=True)
class Records:
    """What was measured, by kind; any may be missing."""

    sizes: Record | None
    speeds: list[Record]
    accuracies: list[Row]


def load(folder: Path) -> Records:
    """The records of a folder, the CPU's speed before those of GPUs."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("models*.json"))]
    speeds = [record for record in found if record["name"] == "models_speed"]
    return Records(
        sizes=next((record for record in found if record["name"] == "models"), None),
        speeds=sorted(speeds, key=lambda record: record["environment"]["device"] != "cpu"),
        accuracies=[row for record in found if record["name"] == "models_accuracy" for row in record["results"]],
    )


def page(cards: Sequence[Card], records: Records) -> str:
    def place(each: Card) -> tuple[int, str, str]:
        return (ORDER.index(each.folder) if each.folder in ORDER else len(ORDER), each.folder, each.name)

    groups = groupby(sorted(cards, key=place), key=lambda each: each.folder)
    sections = [section(folder, list(members), records) for folder, members in groups]
    return "\n".join([HEAD, *sections, accuracies(records.accuracies), provenance(records)])


def section(folder: str, cards: list[Card], records: Records) -> str:
    """Title, table, and the commands of its first model."""
    wide = any(each.horizontal for each in cards)
    table = markdown([row_of(each, records, wide) for each in cards])
    commands = COMMANDS.format(name=cards[0].name, checkpoint=cards[0].checkpoint)
    return f"## {TITLES.get(folder, folder)}\n\n{table}\n\n{commands}"


def row_of(each: Card, records: Records, wide: bool) -> Row:
    """The cells of one model; ``wide``: with a column for COCO's image size."""
    speeds = [cell for record in records.speeds for cell in speed_cells(each.name, record).items()]
    return {
        "config": f"[`{each.name}`](../configs/{each.folder}/{each.name}.py)",
        "boxes": each.boxes,
        "head": each.head,
        "positives": each.positives,
        "trained for": each.schedule,
        **size_cells(each, records.sizes, wide),
        "published, not ours": published(each.published),
        "ours": ours(each.name, records.accuracies),
        **(dict(speeds) or {"s an image": MISSING}),
    }


def size_cells(each: Card, record: Record | None, wide: bool) -> Row:
    rows = [] if record is None else [row for row in record["results"] if row["config"] == each.name]
    macs = rows[0]["macs"] if rows else {}
    return {
        "parameters, M": f"{rows[0]['parameters'] / 1e6:.2f}" if rows else MISSING,
        "GFLOPs, 1024 x 1024": giga(macs.get("1024x1024")),
        **({"GFLOPs, 1333 x 800": giga(macs.get(WIDE)) if each.horizontal else ""} if wide else {}),
    }


def giga(macs: int | None) -> str:
    return MISSING if macs is None else f"{macs / 1e9:.1f}"


def speed_cells(name: str, record: Record) -> Row:
    device = record["environment"]["device"]
    found = [row for row in record["results"] if row["config"] == name]
    seconds, memory = (spread(found[0]["seconds"], 1), number(found[0]["extra_mb"])) if found else (MISSING, "")
    return {f"s an image, {device}": seconds, f"peak MB, {device}": memory}


def published(figures: Sequence[Row]) -> str:
    """Each metric once, then its values with their sources."""
    metrics = dict.fromkeys(each["metric"] for each in figures)
    return "; ".join(
        f"{metric}: " + ", ".join(f"{each['value']} ({each['source']})" for each in figures if each["metric"] == metric)
        for metric in metrics
    )


def ours(name: str, rows: Sequence[Row]) -> str:
    mine = [f"{row['value']} {row['metric']}, {row['dataset']}" for row in rows if row["config"] == name]
    return "; ".join(mine) or MISSING


def accuracies(rows: Sequence[Row]) -> str:
    """Every figure of ours with what it takes to check it."""
    title = "## Measured by us\n\n"
    if not rows:
        return f"{title}Nothing yet; `benchmarks/record_accuracy.py` adds what a test has measured.\n"
    columns = ("config", "metric", "value", "dataset", "images", "commit", "device", "command")
    shown = [{**{column: row[column] for column in columns}, "command": f"`{row['command']}`"} for row in rows]
    return f"{title}{markdown(shown)}\n"


def provenance(records: Records) -> str:
    """Which commit and machine the figures come from."""
    lines = []
    if records.sizes is not None:
        where = records.sizes["environment"]
        lines.append(f"parameters and GFLOPs: commit {where['commit']}, torch {where['versions']['torch']}")
    for record in records.speeds:
        where = record["environment"]
        machine = (
            f"{where['cpu']}, {where['cores']} cores, {where['threads']} threads, load {where['load_before']} before"
        )
        lines.append(f"seconds and memory on {where['device']}: commit {where['commit']}, {machine}")
    if not records.speeds:
        lines.append(f"seconds and memory: {MISSING}")
    if all(record["environment"]["device"] == "cpu" for record in records.speeds):
        lines.append(f"on a GPU: {MISSING}, by `python benchmarks/bench_models.py --device cuda`")
    return f"<sub>bench_models.py: {'; '.join(lines)}</sub>\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="say whether the page is up to date, write nothing")
    args = parser.parse_args()
    text = page([card(name) for name in config_names()], load(RESULTS))
    if args.check:
        fresh = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        print(f"{PAGE.relative_to(ROOT)} {'is' if fresh else 'is not'} what configs and records make")
        return 0 if fresh else 1
    write(text, PAGE)
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
