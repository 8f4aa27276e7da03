"""The README's table of what is how fast beside whom, made of the records like docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.cells import Rows, markdown, number
from benchmarks.harness import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- speed: made by make bench-table -->\n", "<!-- end of speed -->\n"

Record = dict[str, Any]


def filled(text: str, records: Sequence[Record]) -> str:
    """The README's text with the table between its marks.

    Raises:
        ValueError: The marks are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} has no lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{markdown(rows(records))}\n{END}{after}"


def rows(records: Sequence[Record]) -> Rows:
    """A row a job on each device that has a record of it, with the machine of the record."""
    found = []
    for record in records:
        where = record["environment"]
        device = where["device"] if where["device"] != "cpu" else f"{where['cores']} CPU cores"
        for job, mine, peer, theirs in JOBS.get(record["name"], lambda _: [])(record):
            ratio = number(theirs / mine) if theirs else ""
            times = {"here": seconds(mine), "beside": _beside(peer, theirs), "times as fast": ratio}
            found.append({"job": job, "on": device, **times})
    return found


Jobs = Iterator[tuple[str, float, str, float | None]]


def seconds(value: float) -> str:
    """In the unit that suits."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{number(value * factor)} {unit}"
    return f"{number(value * 1e9)} ns"


def _beside(peer: str, value: float | None) -> str:
    return f"{peer} {seconds(value)}" if value else ""


def _median(times: dict[str, Any] | None, share: float = 1.0) -> float | None:
    return None if times is None else times["median"] / share


def _iou(record: Record) -> Jobs:
    row = next(row for row in record["results"] if row["dtype"] == "float32")
    yield "rotated IoU of a pair", _median(row["ours"], row["pairs"]), "mmcv", _median(row.get("peer"), row["pairs"])


def _nms(record: Record) -> Jobs:
    for row in record["results"]:
        job = f"rotated NMS of {row['boxes']:,} boxes ({row['scene']})"
        yield job, _median(row["ours"]), "mmcv", _median(row.get("peer"))


def _assign(record: Record) -> Jobs:
    row = next(row for row in record["results"] if row["objects"] == 500)
    yield "assignment of 500 objects at 1024 px", _median(row["ours"]), "mmrotate", _median(row.get("peer"))


def _train_step(record: Record) -> Jobs:
    ways = {row["way"]: row["seconds"]["step"] for row in record["results"]}
    setting = record["setting"]
    job = f"training step, R50 le90, {setting['batch']} of {setting['size']} px, {setting['objects']} objects each"
    numbers = "bfloat16" if setting.get("peer_amp") else "float32"
    yield f"{job}, bfloat16", _median(ways["ours, --amp"]), f"mmrotate, {numbers}", _median(ways.get("mmrotate"))
    if not setting.get("peer_amp"):
        yield "the same in float32", _median(ways["ours, float32"]), "mmrotate, float32", _median(ways.get("mmrotate"))


def _inference(record: Record) -> Jobs:
    first = [row for row in record["results"] if row["batch"] == record["results"][0]["batch"]]
    ways = {row["way"]: row["seconds"] for row in first}
    job = f"inference, R50 le90, {first[0]['batch']} of {record['setting']['size']} px"
    peer = next((name for name in ("mmrotate, bfloat16", "mmrotate, float32") if name in ways), "")
    yield f"{job}, bfloat16", _median(ways["ours, --amp"]), peer, _median(ways.get(peer))
    wide = "mmrotate, float32"
    yield "the same in float32", _median(ways["ours, float32"]), wide, _median(ways.get(wide))


def _split(record: Record) -> Jobs:
    for row in record["results"]:
        if row["isal"]:
            job = (
                f"splitting {record['data']}, repeated to {record.get('images', 8)} images, at 1024/200, with `[fast]`"
            )
            yield job, _median(row["ours"]), row["against"], _median(row["peer"])


def _merge(record: Record) -> Jobs:
    row = record["results"][0]
    yield f"merging {row['detections']:,} tile detections", _median(row["ours"]), "dotadevkit", _median(row["peer"])


def _evaluate(record: Record) -> Jobs:
    row = next(row for row in record["results"] if "peer" in row)
    job = f"evaluating {row['detections']:,} detections (ours at ten thresholds)"
    yield job, _median(row["ours"]), "dotadevkit", _median(row["peer"])


JOBS: dict[str, Callable[[Record], Jobs]] = {
    "iou": _iou, "nms": _nms, "assign": _assign, "train_step": _train_step, "inference": _inference, "split": _split,
    "merge": _merge, "evaluate": _evaluate,
}  # fmt: skip
