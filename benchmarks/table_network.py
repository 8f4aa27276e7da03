"""The sections of docs/benchmarks.md about the network: a training step, inference."""

from __future__ import annotations

from typing import Any

from benchmarks.cells import Rows, markdown, milli, mistakes, number, spread

Record = dict[str, Any]

# DOTA-v1.0's trainval as mmrotate's 1x schedule trains on it
SCHEDULE_EPOCHS = 12
SCHEDULE_TILES = 12_800
SCHEDULE_SOURCE = "https://github.com/jbwang1997/BboxToolkit/issues/4"


def train_step(record: Record) -> tuple[Rows, list[str]]:
    rows = []
    for row in record["results"]:
        shares = {part: f"{share:.1%}" for part, share in row["shares"].items()}
        peak = {"peak MB": number(row["peak_mb"])} if row["peak_mb"] else {}
        rows.append({"way": row["way"], "step, s": spread(row["seconds"]["step"], 1), **shares, **peak})
    setting = record["setting"]
    told = f"{setting['batch']} of {setting['size']} x {setting['size']} px, {setting['objects']} objects each"
    autocast = ", bfloat16 autocast for mmrotate too" if setting.get("peer_amp") else ""
    notes = [f"Images: {told}{autocast}."]
    if "loading" in record:
        notes.append(f"Loading is not part of the step: one image costs one worker {milli(record['loading'])} ms.")
    if record["environment"]["device"] != "cpu":
        notes.append(_schedule(record["results"][0], setting["batch"]))
    return rows, notes


def _schedule(row: dict[str, Any], batch: int) -> str:
    """How long the published schedule takes at the measured rate."""
    rate = batch / row["seconds"]["step"]["median"]
    minutes = SCHEDULE_EPOCHS * SCHEDULE_TILES / rate / 60
    return (
        f"Computed, not measured: at {number(rate)} images a second ({row['way']}) DOTA-v1.0's 1x schedule of "
        f"{SCHEDULE_EPOCHS} epochs takes {number(minutes)} minutes on one GPU, if loading keeps up and without "
        f"validation. Its train and val images make {SCHEDULE_TILES:,} tiles of 1024 px with an overlap of 200 px once "
        f"those without objects are left out ([count of the tool that mmrotate's split comes from]({SCHEDULE_SOURCE}))."
    )


def inference(record: Record) -> tuple[Rows, list[str]]:
    rows = []
    for row in record["results"]:
        shares = {part: f"{share:.1%}" for part, share in row["shares"].items()}
        peak = {"peak MB": number(row["peak_mb"])} if row["peak_mb"] else {}
        rows.append({
            "way": row["way"], "images at a time": row["batch"], "images a second": number(row["images_a_second"]),
            "s": spread(row["seconds"], 1), **shares, **peak,
            "candidates": f"{row['candidates']:,}", "detections": f"{row['detections']:,}",
        })  # fmt: skip
    setting = record["setting"]
    told = (
        f"Images of {setting['size']} x {setting['size']} px, the same weights, scaled to about "
        f"{setting['candidates']:,} (prior, class) pairs an image above the score threshold."
    )
    return rows, [told, _post_processing(record["scenes"])]


def _post_processing(scenes: Rows) -> str:
    rows = [
        {
            "outputs of": row["of"], "images": row["batch"], "candidates": f"{row['candidates']:,}",
            "ours, ms": milli(row["ours"]), "mmrotate, ms": milli(row.get("peer")), "ratio": number(row.get("ratio")),
            "kept": f"{row['kept']:,}", "mmrotate, kept": f"{row['peer_kept']:,}" if "peer_kept" in row else "",
            "kept by one only": row.get("differing", ""),
            "why": ", ".join(f"{count} {why}" for why, count in row.get("causes", {}).items()),
            "ours, mistakes": mistakes(row.get("ours_mistakes")),
            "mmrotate, mistakes": mistakes(row.get("peer_mistakes")),
        }
        for row in scenes
    ]  # fmt: skip
    return f"Post-processing alone, both of the same outputs:\n\n{markdown(rows)}"
