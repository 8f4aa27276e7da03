"""The section of docs/benchmarks.md beside supervision, sahi and ultralytics: a table a job, and other jobs."""

from __future__ import annotations

from typing import Any

from benchmarks.cells import Rows, markdown, milli, number, per, spread

NAMES = ("supervision", "sahi", "ultralytics")


def section(record: dict[str, Any]) -> tuple[Rows, list[str]]:
    """Which packages were there, then a remark with a table for each job that one of them does."""
    results = record["results"]
    rows = [_package(name, record) for name in NAMES]
    parts = [(_iou, results["iou"]), (_nms, results["nms"]), (_split, results["split"])]
    remarks = [text for part, measured in parts if measured for text in part(measured, record)]
    return rows, [*remarks, _other_jobs(results)]


def _package(name: str, record: dict[str, Any]) -> dict[str, str]:
    measured = [part for part in ("iou", "nms", "split") if any(r["package"] == name for r in record["results"][part])]
    words = {"iou": "IoU", "nms": "NMS", "split": "splitting"}
    return {
        "package": name, "version": record["environment"]["versions"].get(name, ""),
        "measured": ", ".join(words[part] for part in measured) or f"nothing: {record['missing'][name]}",
    }  # fmt: skip


def _iou(results: Rows, record: dict[str, Any]) -> list[str]:
    rows = [
        {
            "boxes": f"{row['objects'][0]} x {row['objects'][1]}: {row['title']}", "against": row["package"],
            "ours, ns a pair": per(row["ours"], row["pairs"]), "theirs, ns a pair": per(row["peer"], row["pairs"]),
            "ratio": number(row["ratio"]), "ours, worst error": number(row["ours_error"]["worst"]),
            "theirs, furthest from IoU": number(row["peer_error"]["worst"]),
            "theirs, pairs off by more than 0.01": round(row["peer_error"]["wrong_share"] * row["pairs"]),
            "their quantity": row["quantity"],
        }
        for row in results
    ]  # fmt: skip
    off = max(abs(row["worst_pair"]["exact"] - row["worst_pair"]["float64"]) for row in results)
    judged = (
        "Errors are judged by the closed form in float64 on all pairs; on the pair where a peer is furthest from it "
        f"rational arithmetic is within {number(off)} of the judge in every row. supervision is given corners in "
        "float64, ours boxes in float32."
    )
    return [f"IoU of all pairs in float32:\n\n{markdown(rows)}", judged]


def _nms(results: Rows, record: dict[str, Any]) -> list[str]:
    rows = [
        {
            "scene": row["scene"], "boxes": row["boxes"], "against": row["package"], "ours, ms": milli(row["ours"]),
            "theirs, ms": milli(row["peer"]), "ratio": number(row["ratio"]), "ours, kept": row["kept"],
            "theirs, kept": row["peer_kept"], "same boxes kept": "yes" if row["same"] else "no",
            "ours, mistakes": _sum(row["ours_mistakes"]), "theirs, mistakes": _sum(row["peer_mistakes"]),
            "their quantity": row["quantity"],
        }
        for row in results
    ]  # fmt: skip
    told = [
        f"{row['scene']}: Fast NMS lets a suppressed box suppress others. Given the IoU of areas too it makes "
        f"{_sum(row['rule_mistakes'])} mistakes; with probIoU the fewest, {_sum(row['best']['mistakes'])}, are at a "
        f"threshold of {row['best']['threshold']}."
        for row in results
        if "best" in row
    ]
    return [f"NMS within each class at {record['iou_threshold']}:\n\n{markdown(rows)}", *told]


def _split(results: Rows, record: dict[str, Any]) -> list[str]:
    rows = [
        {
            "against": row["package"], "files": row["what"],
            "workers of each": row["workers"],
            "ours, s": spread(row["ours"], 1), "theirs, s": spread(row["peer"], 1), "ratio": number(row["ratio"]),
            "ours, tiles": row["tiles"], "theirs, tiles": row["peer_tiles"], "same pixels": row["same_pixels"],
            "same objects": row.get("same_objects", ""), "ours, MB": row["ours_mb"], "theirs, MB": row["peer_mb"],
        }
        for row in results
    ]  # fmt: skip
    told = record["results"]
    notes = (
        "Ours is told to write what the peer writes: tiles cut short at the border, and beside ultralytics JPEG, which "
        "loses detail and is all that it writes, in one process, as it has no setting for more. sahi's workers are the "
        "threads that write its tiles."
    )
    return [f"Splitting {told['data']}, repeated to {told['images']} images:\n\n{markdown(rows)}", notes]


def _other_jobs(results: dict[str, Any]) -> str:
    lines = [
        f"- {each['package']}, {each['job']}: {each['reason']}{_seen(each, results)}" for each in results["other_jobs"]
    ]
    return "Another job, and so not measured:\n\n" + "\n".join(lines)


def _seen(job: dict[str, str], results: dict[str, Any]) -> str:
    """What was found of sahi's merging where it was there to be asked."""
    if (job["package"], job["job"]) != ("sahi", "merging") or "two_ships" not in results:
        return ""
    kept = results["two_ships"]
    return f"; of two ships side by side at 45 degrees, IoU 0, it keeps {kept['sahi']}, ours {kept['ours']}"


def _sum(found: dict[str, int]) -> int:
    return sum(found.values())
