"""The sections of docs/benchmarks.md about files: splitting, merging, evaluation."""

from __future__ import annotations

from typing import Any

from benchmarks.cells import Rows, markdown, number, spread

Record = dict[str, Any]


def split(record: Record) -> tuple[Rows, list[str]]:
    rows = [
        {
            "against": row["against"], "isal, pyspng installed": "yes" if row["isal"] else "no",
            "ours, s": spread(row["ours"], 1), "peer, s": spread(row["peer"], 1), "ratio": number(row["ratio"]),
            "ours, processor s": row.get("ours_cpu_s", ""), "peer, processor s": row.get("peer_cpu_s", ""),
            "tiles": row["tiles"], "same pixels": row["same_pixels"], "same objects": row.get("same_objects", ""),
        }
        for row in record["results"]
    ]  # fmt: skip
    images = f", repeated to {record['images']} images" if "images" in record else ""
    remarks = [
        f"Input: {record['data']}{images}, {record['results'][0]['processes']} processes. Beside dotadevkit ours is "
        "told to use its names and its black past the border; objects that it cuts at the border ours keeps whole."
    ]
    if "large" in record:
        large = record["large"]
        one, two, decoding = (spread(large[key], 1) for key in ("one_worker", "two_workers", "decoding"))
        remarks.append(
            f"One image of {large['px']:,} x {large['px']:,} px: {one} s with one worker, {two} s with two, "
            f"{number(large['ratio'])} times as fast; {decoding} s of it is decoding, which one thread does."
        )
    if "codecs" in record:
        remarks.append(
            f"Ways to write a tile, milliseconds of one core a tile:\n\n{markdown(_codecs(record['codecs']))}"
        )
    return rows, remarks


def _codecs(rows: Rows) -> Rows:
    return [
        {
            "way": row["codec"], "write, ms": row["write_ms"], "read by OpenCV, ms": row["read_ms"],
            "read by ours, ms": row.get("read_by_ours_ms") or "", "all of them, MB": row["mb"],
            "pixels kept": "yes" if row["lossless"] else "no",
        }
        for row in rows
    ]  # fmt: skip


def merge(record: Record) -> tuple[Rows, list[str]]:
    rows = [
        {
            "detections": f"{row['detections']:,}", "of": row.get("case", "15 classes"),
            "processes": row["processes"], "ours, s": spread(row["ours"], 1), "dotadevkit, s": spread(row["peer"], 1),
            "ratio": number(row["ratio"]), "ours in one process, s": spread(row["ours_one_process"], 1),
            "ours, peak MB": number(row.get("ours_peak_mb")), "rows the same": f"{row['rows']['same']:,}",
            "tied": row["rows"]["tied"], "different": row["rows"]["different"],
        }
        for row in record["results"]
    ]  # fmt: skip
    return rows, ["Peak memory is summed over all processes of the command, reading and writing text included."]


def evaluate(record: Record) -> tuple[Rows, list[str]]:
    rows = [
        {
            "detections": f"{row['detections']:,}", "images": row["images"], "ours, s": spread(row["ours"], 1),
            "dotadevkit, s": spread(row.get("peer"), 1), "ratio": number(row.get("ratio")),
            "ours, peak MB": number(row.get("ours_peak_mb")),
            "largest difference of a class's AP50": number(row.get("largest_ap50_difference")),
        }
        for row in record["results"]
    ]  # fmt: skip
    told = (
        "Ours counts at ten IoU thresholds, dotadevkit at 0.5 alone; it stands beside fewer detections, as it is slow."
    )
    return rows, [f"{told} Reading text is part of the time."]
