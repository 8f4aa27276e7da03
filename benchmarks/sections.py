"""Sections of docs/benchmarks.md: the table of each benchmark and the remarks below it, from its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.page import (
    Columns,
    Format,
    listed,
    markdown,
    milliseconds,
    nanoseconds_per,
    number,
    provenance,
    spread,
    total,
    yes_no,
)
from benchmarks.records import Record, Row

# DOTA-v1.0 trainval, as mmrotate's 1x schedule uses it
SCHEDULE_EPOCHS = 12
SCHEDULE_TILES = 12_800
SCHEDULE_SOURCE = "https://github.com/jbwang1997/BboxToolkit/issues/4"


@dataclass(frozen=True)
class Section:
    """Layout of one benchmark on the page."""

    title: str
    columns: Columns
    remarks: Callable[[Record], Sequence[str]]
    rows: Callable[[Record], list[Row]] = lambda record: record["rows"]


def section(record: Record) -> str:
    """Format the section of a record: title, table, remarks, provenance."""
    layout, device = SECTIONS[record["name"]], record["environment"]["device"]
    remarks = list(layout.remarks(record))
    if record.get("baseline_missing"):
        remarks.append(f"Baseline not measured: {record['baseline_missing']}.")
    title = layout.title if device == "cpu" else f"{layout.title}, {device}"
    table = markdown(layout.rows(record), layout.columns, drop_empty=True)
    parts = [f"## {title}", table, *remarks, f"<sub>{provenance(record)}</sub>"]
    return "\n\n".join(parts) + "\n"


def iou_remarks(record: Record) -> list[str]:
    """Compare with shapely, name the references, and give the arithmetic throughput of a GPU."""
    checks = [row["shapely"] for row in record["rows"] if "shapely" in row]
    differs, decided, wrong, shapely_wrong = (
        sum(each[key] for each in checks) for key in ("differs", "decided", "rotated_atss_wrong", "shapely_wrong")
    )
    remarks = [
        f"shapely in float64 differs from rotated-atss in float64 by more than 1e-9 on {differs:,} pairs. Rational "
        f"arithmetic decides {decided:,} of them: rotated-atss is wrong {wrong:,} times, shapely {shapely_wrong:,} "
        "times.",
        "Reference of the errors in float32: the closed form in float64 on all pairs. Reference in float64: rational "
        "arithmetic on a sample that includes the pairs with the largest disagreement.",
    ]
    remarks += [
        f"{row['title']}: {row['flops_per_pair']} operations per pair, {number(row['tflops'])} TFLOP/s, "
        f"{row['share_of_peak']:.0%} of the float32 peak of {number(row['computed_peak_tflops'])} TFLOP/s (computed: "
        "processors x lanes x 2 x highest clock)."
        for row in record["rows"]
        if row.get("share_of_peak")
    ]
    return remarks


def nms_remarks(record: Record) -> list[str]:
    """Name scenes without a baseline and define a mistake."""
    skipped = [row for row in record["rows"] if row["baseline_missing"] not in ("", record["baseline_missing"])]
    return [
        *(f"{row['scene']}: mmcv {row['baseline_missing']}." for row in skipped),
        "A mistake, decided in float64, is a kept box that overlaps a higher-scoring kept box, or a suppressed box "
        "that overlaps none.",
    ]


def assign_remarks(record: Record) -> list[str]:
    """Give image size, batch and the comparison prior by prior."""
    sizes, batch = record["sizes"], record["batch"]
    small, large = sizes["sizes"]
    remarks = [
        f"{sizes['num_gt']} boxes on {large} x {large} px: {milliseconds(sizes['large'])} ms, {number(sizes['ratio'])} "
        f"times the {milliseconds(sizes['small'])} ms on {small} x {small} px, measured in alternating runs.",
        f"{batch['images']} images of {batch['num_gt']} boxes in one call: {milliseconds(batch['one_call'])} ms; in "
        f"separate calls: {milliseconds(batch['calls'])} ms.",
    ]
    if record["comparisons"]:
        columns: Columns = {
            "scene": lambda row: f"{row['scene']}, seed {row['seed']}", "boxes": "num_gt", "positives": "num_pos",
            "differing priors": "differing", "causes": ("causes", listed),
        }  # fmt: skip
        remarks.append(
            "Assignments compared prior by prior (the record lists every differing prior):\n\n"
            + markdown(record["comparisons"], columns)
        )
    return remarks


def train_step_remarks(record: Record) -> list[str]:
    """Describe the batch, the cost of loading, and on a GPU the duration of the 1x schedule."""
    settings = record["settings"]
    amp = ", bfloat16 autocast for mmrotate too" if settings["baseline_amp"] else ""
    size = settings["size"]
    remarks = [
        f"Batch: {settings['batch']} of {size} x {size} px, {settings['num_gt']} boxes per image{amp}.",
        f"Loading is not part of the step: one worker needs {milliseconds(record['loading'])} ms per image.",
    ]
    if record["environment"]["device"] != "cpu":
        row = record["rows"][0]
        rate = settings["batch"] / row["seconds"]["step"]["median"]
        minutes = SCHEDULE_EPOCHS * SCHEDULE_TILES / rate / 60
        remarks.append(
            f"Computed, not measured: at {number(rate)} images per second ({row['implementation']}), the 1x schedule "
            f"of DOTA-v1.0 ({SCHEDULE_EPOCHS} epochs) takes {number(minutes)} minutes on one GPU if loading keeps up, "
            f"without validation. Train and val give {SCHEDULE_TILES:,} tiles of 1024 px with an overlap of 200 px "
            f"after tiles without objects are removed ([count by the tool behind mmrotate's split]({SCHEDULE_SOURCE}))."
        )
    return remarks


def inference_remarks(record: Record) -> list[str]:
    """Describe the images and compare post-processing on the same outputs."""
    settings = record["settings"]
    columns: Columns = {
        "outputs": "source", "images": "batch", "candidates": ("candidates", "{:,}"),
        **_times("mmrotate", "ms", milliseconds), "kept": ("kept", "{:,}"), "mmrotate, kept": ("baseline_kept", "{:,}"),
        "kept by one only": "differing", "causes": ("causes", listed), **_mistakes("mmrotate"),
    }  # fmt: skip
    return [
        f"Images of {settings['size']} x {settings['size']} px; equal weights, scaled so that about "
        f"{settings['candidates']:,} (prior, class) pairs per image exceed the score threshold.",
        "Post-processing alone, on the same outputs:\n\n" + markdown(record["scenes"], columns, drop_empty=True),
    ]


def split_remarks(record: Record) -> list[str]:
    """Describe the input, one large image, and PNG encoders."""
    settings, large = record["settings"], record["large"]
    one, two, decoding = (spread(large[key]) for key in ("one_worker", "two_workers", "decoding"))
    columns: Columns = {
        "encoder": "codec", "write, ms": "write_ms", "read by OpenCV, ms": "read_ms",
        "read by rotated-atss, ms": "rotated_atss_read_ms", "all tiles, MB": "mb", "lossless": ("lossless", yes_no),
    }  # fmt: skip
    return [
        f"Input: {settings['data']}, repeated to {settings['images']} images, {record['rows'][0]['processes']} "
        "processes. Compared with dotadevkit, rotated-atss uses devkit tile names and black padding; it keeps objects "
        "whole that dotadevkit clips at the tile border.",
        f"One image of {large['px']:,} x {large['px']:,} px: {one} s with one worker, {two} s with two (speed-up "
        f"{number(large['speedup'])}). Decoding, which is single-threaded, takes {decoding} s of it.",
        f"Tile encoders, milliseconds of one core per tile:\n\n{markdown(record['codecs'], columns)}",
    ]


def packages(record: Record) -> list[Row]:
    """Return the optional packages of ``bench_others.py``, their versions and what was measured."""
    tasks = {row["library"]: {} for row in record["rows"]}
    for row in record["rows"]:
        tasks[row["library"]][row["task"]] = None
    versions = record["environment"]["versions"]
    return [
        {
            "package": name, "version": versions.get(name, ""),
            "measured": ", ".join(tasks[name]) if name in tasks else f"nothing: {record['missing'][name]}",
        }
        for name in ("supervision", "sahi", "ultralytics")
    ]  # fmt: skip


def _times(baseline: str, unit: str, form: Format) -> Columns:
    """Return the columns of both times and their ratio."""
    return {
        f"rotated-atss, {unit}": ("rotated_atss", form), f"{baseline}, {unit}": ("baseline", form),
        "speed-up": ("speedup", number),
    }  # fmt: skip


def _pair_times(baseline: str) -> Columns:
    """Return the columns of both times per pair and their ratio."""
    return {
        "rotated-atss, ns per pair": nanoseconds_per("rotated_atss", "pairs"),
        f"{baseline}, ns per pair": nanoseconds_per("baseline", "pairs"), "speed-up": ("speedup", number),
    }  # fmt: skip


def _mistakes(baseline: str) -> Columns:
    return {f"{name}, mistakes": (f"{key}_mistakes", total)
            for name, key in (("rotated-atss", "rotated_atss"), (baseline, "baseline"))}  # fmt: skip


OTHER_IOU: Columns = {
    "boxes": lambda row: f"{row['num_gt'][0]} x {row['num_gt'][1]}: {row['title']}", "baseline": "library",
    **_pair_times("baseline"), "rotated-atss, largest error": ("rotated_atss_error.worst", number),
    "baseline, largest distance from IoU": ("baseline_error.worst", number),
    "baseline, pairs off by more than 0.01": lambda row: round(row["baseline_error"]["wrong_share"] * row["pairs"]),
    "baseline computes": "quantity",
}  # fmt: skip
OTHER_NMS: Columns = {
    "scene": "scene", "boxes": "boxes", "baseline": "library", **_times("baseline", "ms", milliseconds),
    "rotated-atss, kept": "kept", "baseline, kept": "baseline_kept", "same boxes kept": ("same", yes_no),
    **_mistakes("baseline"), "baseline computes": "quantity",
}  # fmt: skip
OTHER_SPLIT: Columns = {
    "baseline": "library", "files": "files", "workers": "workers", **_times("baseline", "s", spread),
    "rotated-atss, tiles": "tiles", "baseline, tiles": "baseline_tiles", "same pixels": "same_pixels",
    "same objects": "same_objects", "rotated-atss, MB": "rotated_atss_mb", "baseline, MB": "baseline_mb",
}  # fmt: skip


def other_remarks(record: Record) -> list[str]:
    """Format one table per task of the optional packages, and the tasks that are not comparable."""
    of = {task: [row for row in record["rows"] if row["task"] == task] for task in ("IoU", "NMS", "splitting")}
    settings = record["settings"]
    remarks = []
    if of["IoU"]:
        off = max(abs(row["worst_pair"]["exact"] - row["worst_pair"]["float64"]) for row in of["IoU"])
        remarks += [
            f"IoU of all pairs in float32:\n\n{markdown(of['IoU'], OTHER_IOU)}",
            "Reference of the errors: the closed form in float64 on all pairs. On the pair where a baseline is "
            f"furthest from it, rational arithmetic agrees with the reference within {number(off)} in every row. "
            "supervision is given corners in float64, rotated-atss boxes in float32.",
        ]
    if of["NMS"]:
        remarks.append(f"Class-wise NMS at {settings['iou_threshold']}:\n\n{markdown(of['NMS'], OTHER_NMS)}")
    remarks += [
        f"{row['scene']}: in Fast NMS a suppressed box still suppresses others. With the IoU of areas it makes "
        f"{total(row['rule_mistakes'])} mistakes; with probIoU it makes the fewest, {total(row['best']['mistakes'])}, "
        f"at a threshold of {row['best']['threshold']}."
        for row in of["NMS"]
        if "best" in row
    ]
    if of["splitting"]:
        table = markdown(of["splitting"], OTHER_SPLIT)
        remarks += [
            f"Splitting {settings['data']}, repeated to {settings['images']} images:\n\n{table}",
            "rotated-atss writes the same kind of files as the baseline: tiles cropped at the image border; compared "
            "with ultralytics, lossy JPEG, its only format, in one process, as it has no option for more. The workers "
            "of sahi are the threads that write its tiles.",
        ]
    lines = [
        f"- {each['library']}, {each['task']}: {each['reason']}{_ships(each, record)}" for each in record["other_tasks"]
    ]
    return [*remarks, "Not comparable, and so not measured:\n\n" + "\n".join(lines)]


def _ships(task: Row, record: Record) -> str:
    """Return the example of sahi's merging, where sahi was measured."""
    if (task["library"], task["task"]) != ("sahi", "merging") or "two_ships" not in record:
        return ""
    kept = record["two_ships"]
    return (
        f"; of two ships side by side at 45 degrees with IoU 0 it keeps {kept['sahi']}, rotated-atss "
        f"{kept['rotated_atss']}"
    )


_PARTS: Columns = {
    part: (f"shares.{part}", "{:.1%}")
    for part in (
        "backbone and neck", "head", "assignment", "losses", "backward", "optimizer", "post-processing", "rest",
    )
}  # fmt: skip

SECTIONS = {
    "iou": Section("Rotated IoU (baseline: mmcv)", {
        "pairs": ("pairs", "{:,}"), "kind": "title", "dtype": "dtype", **_pair_times("mmcv"),
        "rotated-atss, largest error": ("rotated_atss_error.worst", number),
        "mmcv, largest error": ("baseline_error.worst", number),
        "mmcv, share off by more than 0.01": ("baseline_error.wrong_share", number),
    }, iou_remarks),
    "nms": Section("Rotated NMS (baseline: mmcv)", {
        "scene": "scene", "boxes": "boxes", "kept": "kept", **_times("mmcv", "ms", milliseconds),
        "same boxes kept": ("same", yes_no), **_mistakes("mmcv"),
    }, nms_remarks),
    "export": Section("Exported graphs on ONNX Runtime, compared with torch", {
        "config": "config", "MB": ("megabytes", number), "boxes": ("boxes", "{:,}"),
        "largest difference of scores": ("score", number), "of corners, px": ("corner", number),
    }, lambda record: [
        f"Initial weights with scaled last layers, on tiles of {record['settings']['size']} px of "
        f"{record['settings']['tiles']}, in batches of 1 and 8: the 1,000 boxes with the highest scores of each."
    ]),
    "deployment": Section("Forms of an exported model on the CPU", {
        "form": "form", "batch size": "batch", "s": ("seconds", spread), "speed-up": ("speedup", number),
    }, lambda record: [
        f"{record['settings']['config']}, untrained, on windows of {record['settings']['size']} px, with selection and "
        "NMS. The speed-up is over torch in float32."
    ]),
    "assign": Section("ATSS assignment (baseline: mmrotate)", {
        "boxes": "num_gt", **_times("mmrotate", "ms", milliseconds),
        "rotated-atss without grids, ms": ("without_grids", milliseconds),
        "rotated-atss, extra MB": "rotated_atss_mb", "mmrotate, extra MB": ("baseline_mb", number),
    }, assign_remarks),
    "max_iou": Section("Max-IoU assignment of RetinaNet (baseline: MMDetection)", {
        "boxes": "num_gt", **_times("MMDetection", "ms", milliseconds),
        "rotated-atss, extra MB": "rotated_atss_mb", "MMDetection, extra MB": ("baseline_mb", number),
        "differing priors": "agreement.differing", "of them without a near tie": "agreement.unexplained",
    }, lambda record: [
        "Nine priors per location, 196,416 in total. The baseline is MMDetection's assigner with mmrotate's IoU. "
        "Random boxes have few tied IoUs; on real tiles the baseline loses ties to rounding, see assignment.md."
    ]),
    "train_step": Section("Training step of the R50 le90 config (baseline: mmrotate)", {
        "implementation": "implementation", "step, s": ("seconds.step", spread), **_PARTS,
        "peak MB": ("peak_mb", number),
    }, train_step_remarks),
    "inference": Section("Inference of the R50 le90 config (baseline: mmrotate)", {
        "implementation": "implementation", "batch size": "batch", "images per second": ("images_per_second", number),
        "s": ("seconds", spread), **_PARTS, "peak MB": ("peak_mb", number), "candidates": ("candidates", "{:,}"),
        "detections": ("detections", "{:,}"),
    }, inference_remarks),
    "busy": Section("Beside other processes (baseline: torch's defaults)", {
        "busy processes": "busy", "threads": "setting", "5,000 objects assigned, ms": "assign",
        "100,000 IoUs, ms": "iou", "demo training step, ms": "train", "four tiles detected, ms": "predict",
    }, lambda record: ["Busy processes run endless loops. One process measures each row, medians after 2.5 s."]),
    "split": Section("Splitting (baselines: mmrotate, dotadevkit)", {
        "baseline": "library", "isal and pyspng installed": ("fast_extra", yes_no), **_times("baseline", "s", spread),
        "rotated-atss, CPU s": "rotated_atss_cpu_s", "baseline, CPU s": "baseline_cpu_s", "tiles": "tiles",
        "same pixels": "same_pixels", "same objects": "same_objects",
    }, split_remarks),
    "merge": Section("Merging (baseline: dotadevkit)", {
        "detections": ("detections", "{:,}"), "classes": "case", "processes": "processes",
        **_times("dotadevkit", "s", spread), "rotated-atss in one process, s": ("one_process", spread),
        "rotated-atss, peak MB": ("rotated_atss_peak_mb", number), "equal rows": ("merged_rows.same", "{:,}"),
        "tied": "merged_rows.tied", "different": "merged_rows.different",
    }, lambda record: ["Peak memory is summed over all processes of the command, reading and writing text included."]),
    "evaluate": Section("Evaluation (baseline: dotadevkit)", {
        "detections": ("detections", "{:,}"), "images": "images", **_times("dotadevkit", "s", spread),
        "rotated-atss, peak MB": ("rotated_atss_peak_mb", number),
        "largest class-wise AP50 difference": ("largest_ap50_difference", number),
    }, lambda record: [
        "rotated-atss evaluates at ten IoU thresholds, dotadevkit at 0.5 only. The baseline is measured on fewer "
        "detections because it is slow. Reading text is part of the time."
    ]),
    "fast_paths": Section("Fast paths of whole commands", {
        "fast path": "fast_path", "command": ("command", "`rotated-atss {}`"),
        "with it, s": ("with_fast_path", spread), "without it, s": ("without", spread), "speed-up": ("speedup", number),
    }, lambda record: [
        f"{record['settings']['detections']:,} detections, {record['settings']['images']} images, "
        f"{record['settings']['processes']} processes; start-up of Python included."
    ]),
    "others": Section("Comparison with supervision, sahi and ultralytics", {
        "package": "package", "version": "version", "measured": "measured",
    }, other_remarks, packages),
}  # fmt: skip
