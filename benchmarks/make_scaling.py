"""Write docs/scaling.md from benchmarks/results/scaling.json. No figure there is typed but those of DOTA's versions,
which are published.

    python benchmarks/make_scaling.py [--check]

With --check nothing is written: the exit status says whether the page is what the records make.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cells import markdown, number
from benchmarks.harness import RESULTS, ROOT
from benchmarks.make_table import provenance, write
from rotated_atss.tiling.windows import sliding_windows

PAGE = ROOT / "docs" / "scaling.md"
TILE, GAP, IMAGE_RATIO, EPOCHS = 1024, 200, 0.6, 12

# Published: DOTA-v1.0's test set gives 10,833 tiles of 937 images at 1024/200; DOTA-v2.0 has 11,268 images of up to
# 29,200 x 27,620 pixels and 1,793,658 objects (Ding et al., arXiv 2102.12219).
TEST_TILES, TEST_IMAGES = 10_833, 937
V2_IMAGES, V2_OBJECTS, V2_LARGEST = 11_268, 1_793_658, (29_200, 27_620)

Record = dict[str, Any]

HEAD = """# How cost grows

Made by `python benchmarks/make_scaling.py` from the records of `benchmarks/bench_scaling.py`, on one machine:

- **Grows as** is the exponent of the amount over the points measured: 1 is in proportion, 0 not at all.
- **One more** is what a unit more costs between the first and the last point.
- What is computed from that says so; nothing of DOTA-v2.0 was run.
- Training step and inference are of the R50 le90 config with --amp, one image of 100 objects; files are worked on by
  two processes. The figures were taken apart from those of [benchmarks.md](benchmarks.md), in another run and with
  other repeats: on a shared machine the same work differs by a fifth or more from one run to the other.
"""


def page(record: Record | None) -> str:
    if record is None:
        return f"{HEAD}\nNothing is measured yet: `python benchmarks/bench_scaling.py`.\n"
    rows = {row["stage"]: row for row in record["results"]}
    parts = [HEAD, slopes(record["results"]), together(record["processes"]), projection(rows), bottleneck(rows)]
    return "\n".join([*parts, provenance("scaling", record["environment"]), ""])


def slopes(results: list[Record]) -> str:
    rows = [
        {
            "stage": row["stage"], "amounts": ", ".join(f"{point['amount']:,}" for point in row["points"]),
            "unit": row["unit"], "seconds": ", ".join(number(point["median"]) for point in row["points"]),
            "grows as": f"{row['exponent']:.2f}", "one more, ns": number(row["seconds_a_unit"] * 1e9),
        }
        for row in results
    ]  # fmt: skip
    return f"## Slopes\n\n{markdown(rows)}\n"


def together(told: Record) -> str:
    return (
        "## Processes\n\n"
        "Two processes that train the demo's small network (R18) together, a thread and a batch of "
        f"{told['batch']} images of {told['size']} px each: "
        f"{number(told['two']['median'])} s a step, one alone {number(told['one']['median'])} s. Efficiency "
        f"{told['efficiency']:.0%}: the share of doubling that is reached, gradients exchanged by gloo. Growth with "
        "the number of GPUs has not been measured.\n"
    )


def projection(rows: dict[str, Record]) -> str:
    """Hours of each stage for DOTA-v2.0 and for ten times as much, from the largest measured points."""
    tiles = round(V2_IMAGES * TEST_TILES / TEST_IMAGES)
    per_tile = {name: rows[name]["points"][-1]["median"] for name in ("training step", "inference")}
    table = []
    for scale in (1, 10):
        hours = {
            "splitting": scale * tiles * (TILE - GAP) ** 2 * rows["splitting"]["seconds_a_unit"] / 3600,
            "training, an epoch": scale * tiles * per_tile["training step"] / 3600,
            "inference": scale * tiles * per_tile["inference"] / 3600,
            "merging": scale * 20 * V2_OBJECTS * rows["merging"]["seconds_a_unit"] / 3600,
            "evaluation": scale * 10 * V2_OBJECTS * rows["evaluation"]["seconds_a_unit"] / 3600,
        }
        named = {f"{name}, hours": number(value) for name, value in hours.items()}
        table.append({"images": f"{scale * V2_IMAGES:,}", "tiles": f"{scale * tiles:,}", **named})
    largest = len(sliding_windows(*V2_LARGEST, [(TILE, GAP)], IMAGE_RATIO))
    width, height = V2_LARGEST
    return (
        "## DOTA-v2.0 and ten times that, computed\n\n"
        f"On this machine, without a GPU. {V2_IMAGES:,} images and {V2_OBJECTS:,} objects are published. Tiles are "
        f"computed at the {TEST_TILES / TEST_IMAGES:.1f} an image of DOTA-v1.0's test set ({TEST_TILES:,} of "
        f"{TEST_IMAGES}, published), and as {TILE - GAP} x {TILE - GAP} new pixels each for splitting; twenty "
        "detections on tiles and ten on full images an object; an epoch over all images, those for testing too.\n\n"
        f"{markdown(table)}\n\n"
        f"The largest image ({width:,} x {height:,}) is {largest:,} tiles: "
        f"{number(width * height * rows['splitting']['seconds_a_unit'] / 60)} minutes to split and "
        f"{number(width * height * 3 / 1e9)} GB of pixels in memory.\n"
    )


def bottleneck(rows: dict[str, Record]) -> str:
    step = rows["training step"]["points"][-1]["median"]
    assigned = rows["assignment at 1024 px"]["points"][0]
    share = assigned["median"] / (step + assigned["median"])
    steep = [f"{name} (exponent {row['exponent']:.1f})" for name, row in rows.items() if row["exponent"] > 1.1]
    grows = f"Faster than its input grows {' and '.join(steep)}." if steep else "Nothing grows faster than its input."
    return f"""## Where the next bottleneck is

Without a GPU it is the network alone: a step on one {TILE} px tile takes {number(step)} s, of which the assignment of
{assigned["amount"]:,} objects would be {share:.1%}. {grows} An image must fit in memory to be split or predicted on,
and one image is decoded by one thread: for single images of gigapixels that comes next. On a GPU nothing is measured;
there the loading of tiles comes next, which more workers answer: what a tile costs one of them is in
[benchmarks.md](benchmarks.md).
"""


def read() -> Record | None:
    path = RESULTS / "scaling.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = page(read())
    if args.check:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text)
    write(text, PAGE)
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
