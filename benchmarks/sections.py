"""Sections of docs/benchmarks.md: the table of each benchmark and the remarks below it, from its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.page import Columns, Format, markdown, milliseconds, number, provenance, spread, total, yes_no
from benchmarks.records import Record, Row

# DOTA-v1.0 trainval, as mmrotate's 1x schedule uses it
SCHEDULE_EPOCHS = 12
SCHEDULE_TILES = 12_800
SCHEDULE_SOURCE = "https://github.com/jbwang1997/BboxToolkit/issues/4"


@dataclass(frozen=True)
class Table:
    """A further table of a section, below a line of text; left out without rows."""

    title: str
    columns: Columns
    rows: Callable[[Record], Sequence[Row]]


# a text that is formatted with the fields of the record, a table, or a function that returns paragraphs
Remark = str | Table | Callable[[Record], Sequence[str]]


@dataclass(frozen=True)
class Section:
    """Layout of one benchmark on the page."""

    title: str
    columns: Columns
    remarks: Sequence[Remark]
    rows: Callable[[Record], Sequence[Row]] = lambda record: record["rows"]


def section(record: Record) -> str:
    """Format the section of a record: title, table, remarks, provenance."""
    layout, device = SECTIONS[record["name"]], record["environment"]["device"]
    remarks = [text for remark in layout.remarks for text in paragraphs(remark, record)]
    if record.get("baseline_missing"):
        remarks.append(f"Baseline not measured: {record['baseline_missing']}.")
    title = layout.title if device == "cpu" else f"{layout.title}, {device}"
    table = markdown(layout.rows(record), layout.columns, drop_empty=True)
    parts = [f"## {title}", table, *remarks, f"<sub>{provenance(record)}</sub>"]
    return "\n\n".join(part for part in parts if part) + "\n"


def paragraphs(remark: Remark, record: Record) -> Sequence[str]:
    if isinstance(remark, str):
        return [remark.format_map(record)]
    if not isinstance(remark, Table):
        return remark(record)
    rows = remark.rows(record)
    return [remark.title.format_map(record), markdown(rows, remark.columns, drop_empty=True)] if rows else []


def rows_of(task: str) -> Callable[[Record], list[Row]]:
    """Return a function that selects the rows of one task."""
    return lambda record: [row for row in record["rows"] if row["task"] == task]


def images_remarks(record: Record) -> list[str]:
    """Describe the image, and what the baselines do."""
    size, megabytes = record["settings"]["size"], record["settings"]["file_mb"]
    files = ", ".join(f"{name} {value:,} MB" for name, value in megabytes.items())
    return [
        f"{size:,} x {size:,} pixels, RGB ({files}); windows of 1024 px with 200 px overlap from top to bottom, in a "
        "fresh process that also computes a checksum of them. rasterio reads window by window with GDAL's default "
        "cache, 5% of the memory; OpenCV decodes the whole image. GDAL's JPEG pixels differ where chroma is "
        "subsampled, because rasterio's wheel holds another libjpeg."
    ]


def startup_remarks(record: Record) -> list[str]:
    """Describe the task of the commands and their environment."""
    packages = "the development packages" if record["settings"]["development_packages"] else "the extra `train` alone"
    return [
        f"Every command in a process of its own, in an environment with {packages}. The first row is Python with torch "
        "alone. `split` cuts one scene into 20 tiles; `train`, `test` and `predict` run the demo model on one tile of "
        "256 px; the row `train` has one iteration and its checkpoint.",
        "`predict model.onnx` runs an exported model on an image of 1024 px, in one window.",
    ]


def throughputs(record: Record) -> list[str]:
    """Give the arithmetic throughput of a GPU."""
    return [
        f"{row['title']}: {row['flops_per_pair']} operations per pair, {number(row['tflops'])} TFLOP/s, "
        f"{row['share_of_peak']:.0%} of the float32 peak of {number(row['computed_peak_tflops'])} TFLOP/s (computed: "
        "processors x lanes x 2 x highest clock)."
        for row in record["rows"]
        if row.get("share_of_peak")
    ]


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


PYRAMIDS: Columns = {
    "side, px": ("size", "{:,}"), "file": lambda row: f"{row['file']}, {row['file_mb']:,} MB",
    "s": ("seconds", number), "peak MB": ("peak_mb", "{:,.0f}"), "tiles": ("tiles", "{:,}"), "tiles, MB": "tiles_mb",
}  # fmt: skip


def _times(baseline: str, unit: str, form: Format) -> Columns:
    """Return the columns of both times and their ratio."""
    return {
        f"rotated-atss, {unit}": ("rotated_atss", form), f"{baseline}, {unit}": ("baseline", form),
        "speedup": ("speedup", number),
    }  # fmt: skip


def _pair_times(baseline: str) -> Columns:
    """Return the columns of both times per pair and their ratio."""

    def nanoseconds(name: str) -> Callable[[Row], str]:
        return lambda row: spread(row[name], 1e9 / row["pairs"]) if name in row else ""

    return {
        "rotated-atss, ns per pair": nanoseconds("rotated_atss"), f"{baseline}, ns per pair": nanoseconds("baseline"),
        "speedup": ("speedup", number),
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
    "rotated-atss, MB": "rotated_atss_mb", "baseline, MB": "baseline_mb",
}  # fmt: skip
NOT_COMPARABLE = """\
Not comparable, and so not measured:

- sahi, merging: postprocessing compares axis-aligned boxes, also for an oriented model
- sahi, labels of tiles: slice_coco clips polygons at the tile border; rotated-atss keeps or drops whole objects
- ultralytics, merging: part of the validator, with the Fast NMS over probIoU measured above
- ultralytics, evaluation: matches by probIoU
- supervision, splitting: InferenceSlicer crops in memory during prediction and writes no files
- supervision, merging: InferenceSlicer calls the NMS measured above in memory; it reads and writes no files
- supervision, evaluation: COCO's average precision at 101 recalls, not DOTA's metric"""


def best_thresholds(record: Record) -> list[str]:
    """Give the mistakes of baselines that compute another quantity at their best threshold."""
    return [
        f"{row['scene']}: at its best threshold, {row['best']['threshold']}, {row['library']} makes "
        f"{total(row['best']['mistakes'])} mistakes."
        for row in record["rows"]
        if "best" in row
    ]


_PARTS: Columns = {
    part: (f"shares.{part}", "{:.1%}")
    for part in (
        "backbone and neck", "head", "assignment", "losses", "backward", "optimizer", "post-processing", "rest",
    )
}  # fmt: skip

SECTIONS = {
    "iou": Section("Rotated IoU in float32 (baseline: mmcv)", {
        "pairs": ("pairs", "{:,}"), "kind": "title", **_pair_times("mmcv"),
        "rotated-atss, largest error": ("rotated_atss_error.worst", number),
        "mmcv, largest error": ("baseline_error.worst", number),
        "mmcv, share off by more than 0.01": ("baseline_error.wrong_share", number),
    }, [
        "Reference of the errors: the closed form in float64, which the tests compare with rational arithmetic.",
        throughputs,
    ]),
    "nms": Section("Rotated NMS (baseline: mmcv)", {
        "scene": "scene", "boxes": "boxes", "kept": "kept", **_times("mmcv", "ms", milliseconds),
        "same boxes kept": ("same", yes_no), **_mistakes("mmcv"),
    }, [
        "A mistake, decided in float64, is a kept box that overlaps a higher-scoring kept box, or a suppressed box "
        "that overlaps none.",
    ]),
    "export": Section("Exported graphs on ONNX Runtime, compared with torch", {
        "config": "config", "MB": ("megabytes", number), "boxes": ("boxes", "{:,}"),
        "largest difference of scores": ("score", number), "of corners, px": ("corner", number),
    }, [
        "Initial weights with scaled last layers, on tiles of {settings[size]} px of {settings[tiles]}, in batches of "
        "1 and 8: the 1,000 boxes with the highest scores of each.",
    ]),
    "deployment": Section("Forms of an exported model on the CPU", {
        "form": "form", "batch size": "batch", "s": ("seconds", spread), "speedup": ("speedup", number),
    }, [
        "{settings[config]}, untrained, on windows of {settings[size]} px, with selection and NMS. The speedup is over "
        "torch in float32.",
    ]),
    "assign": Section("ATSS assignment (baseline: mmrotate)", {
        "boxes": "num_gt", **_times("mmrotate", "ms", milliseconds),
        "rotated-atss without grids, ms": ("without_grids", milliseconds),
        "rotated-atss, extra MB": "rotated_atss_mb", "mmrotate, extra MB": ("baseline_mb", number),
    }, [Table(
        "Assignments compared prior by prior. Where centers are multiples of 4 px, distances to priors tie; "
        "[assignment.md](assignment.md) states which prior rotated-atss takes.", {
            "scene": lambda row: f"{row['scene']}, seed {row['seed']}", "boxes": "num_gt", "positives": "num_pos",
            "differing priors": "differing",
        }, lambda record: record["comparisons"],
    )]),
    "max_iou": Section("Max-IoU assignment of RetinaNet (baseline: MMDetection)", {
        "boxes": "num_gt", **_times("MMDetection", "ms", milliseconds),
        "rotated-atss, extra MB": "rotated_atss_mb", "MMDetection, extra MB": ("baseline_mb", number),
        "differing priors": "differing",
    }, [
        "Nine priors per location, 196,416 in total. The baseline is MMDetection's assigner with mmrotate's IoU. "
        "Random boxes have few tied IoUs; on real tiles the baseline loses ties to rounding, see "
        "[assignment.md](assignment.md).",
    ]),
    "train_step": Section("Training step of the R50 le90 config (baseline: mmrotate)", {
        "implementation": "implementation", "step, s": ("seconds.step", spread), **_PARTS,
        "peak MB": ("peak_mb", number),
    }, [train_step_remarks]),
    "inference": Section("Inference of the R50 le90 config (baseline: mmrotate)", {
        "implementation": "implementation", "batch size": "batch", "images per second": ("images_per_second", number),
        "s": ("seconds", spread), **_PARTS, "peak MB": ("peak_mb", number), "candidates": ("candidates", "{:,}"),
        "detections": ("detections", "{:,}"),
    }, [
        "Images of {settings[size]} x {settings[size]} px; equal weights, scaled so that about "
        "{settings[candidates]:,} (prior, class) pairs per image exceed the score threshold. mmrotate clamps the "
        "centers of boxes to the image, rotated-atss does not.",
        Table("Post-processing alone, on the same outputs:", {
            "outputs": "source", "images": "batch", "candidates": ("candidates", "{:,}"),
            **_times("mmrotate", "ms", milliseconds), "kept": ("kept", "{:,}"),
            "mmrotate, kept": ("baseline_kept", "{:,}"),
        }, lambda record: record["scenes"]),
    ]),
    "busy": Section("Beside other processes (baseline: torch's defaults)", {
        "busy processes": "busy", "threads": "setting", "5,000 objects assigned, ms": "assign",
        "100,000 IoUs, ms": "iou", "demo training step, ms": "train", "four tiles detected, ms": "predict",
    }, ["Three processes, one per setting, take turns; medians of five turns."]),
    "startup": Section("Start-up of the commands", {
        "command": ("command", "`{}`"), "CPU s": ("cpu_s", number), "s": ("wall_s", number),
    }, [startup_remarks]),
    "images": Section("Reading a large image by windows (baselines: rasterio, OpenCV)", {
        "format": "format", "library": "library", "windows": ("windows", "{:,}"), "s": ("seconds", number),
        "CPU s": ("cpu_s", number), "peak MB": ("peak_mb", "{:,.0f}"), "same pixels as OpenCV": ("same_pixels", yes_no),
    }, [images_remarks]),
    "split": Section("Splitting (baselines: mmrotate, dotadevkit)", {
        "baseline": "library", "isal and pyspng installed": ("fast_extra", yes_no), **_times("baseline", "s", spread),
        "rotated-atss, CPU s": "rotated_atss_cpu_s", "baseline, CPU s": "baseline_cpu_s", "tiles": "tiles",
        "same pixels": "same_pixels", "same objects": "same_objects",
    }, [
        "Input: {settings[data]}, repeated to {settings[images]} images, {rows[0][processes]} processes. Compared with "
        "dotadevkit, rotated-atss uses devkit tile names and black padding; it keeps objects whole that dotadevkit "
        "clips at the tile border.",
    ]),
    "gigapixel": Section("Splitting of one large image (baselines: mmrotate, sahi)", {
        "side, px": ("size", "{:,}"), "file": lambda row: f"{row['file']}, {row['file_mb']:,} MB", "library": "library",
        "s": ("seconds", number), "CPU s": ("cpu_s", number), "peak MB": ("peak_mb", "{:,}"),
        "tiles": ("tiles", "{:,}"), "failure": "note",
    }, [
        "Windows of 1024 px, overlap 200 px, no labels, {settings[processes]} processes; one run each. Peak memory is "
        "the largest sum over all processes at one time, shared pages counted once. Runs end after {settings[limit]} "
        "s.",
    ]),
    "predict_large": Section("Prediction on one large image (baselines: sahi, geodeep)", {
        "side, px": ("size", "{:,}"), "file": "format", "detector": "detector", "library": "library",
        "s": ("seconds", number), "s per megapixel": ("s_per_megapixel", number), "peak MB": ("peak_mb", "{:,}"),
        "failure": "note",
    }, [
        "The whole command without pictures, windows of 1024 px with 200 px overlap, one run each. `stub` costs "
        "nothing and returns a box per 64 x 64 pixels, `stub 256` per 256 x 256; `r18` is the untrained demo model. "
        "geodeep runs a graph like `stub 256` on ONNX Runtime and loads no torch; the first row is Python with torch "
        "alone.",
    ]),
    "report": Section("Evaluation report", {
        "command": "command", "CPU s": ("cpu_s", number), "s": ("wall_s", number), "peak MB": ("peak_mb", number),
    }, [
        "{settings[detections]:,} detections of 15 classes on {settings[images]} images, a new process per command, "
        "reading and writing included; the report has no pictures.",
    ]),
    "viewer": Section("Viewer of the report", {
        "boxes": ("boxes", "{:,}"), "view": "view", "boxes in view": ("in_view", "{:,.0f}"),
        "frames per second": ("frames_per_second", number), "slowest frame, ms": ("slowest_frame_ms", number),
        "CPU ms per frame": ("cpu_ms_per_frame", number),
    }, [
        "Panning over an image of {settings[size]:,} x {settings[size]:,} px in headless {settings[browser]} at 1280 x "
        "800 px, rendered in software (`--disable-gpu`), for some seconds per row after 20 frames. The browser shows "
        "at most 60 frames per second. The view moves on a circle with a radius of 5% of the image's side: over the "
        "whole image the drawn boxes are copied, over a quarter of the side they are drawn anew on the way. A frame "
        "counts once its boxes are drawn. CPU time is that of all processes of the browser.",
        Table("Writing a tile pyramid in one process:", PYRAMIDS, rows_of("pyramid")),
    ], rows_of("pan")),
    "check_data": Section("Checking a dataset", {
        "case": "case", "images": ("images", "{:,}"), "megapixels": ("megapixels", number),
        "objects": ("objects", "{:,}"), "s": ("rotated_atss", spread),
        "images per second": ("images_per_second", number),
    }, [
        "Images: {settings[data]}, repeated; {settings[processes]} processes. Decoding covers hashes of bytes and "
        "pixels. Label files are paired with one small image, of which only the header is read.",
    ]),
    "merge": Section("Merging (baseline: dotadevkit)", {
        "detections": ("detections", "{:,}"), "classes": "case", "processes": "processes",
        **_times("dotadevkit", "s", spread), "rotated-atss in one process, s": ("one_process", spread),
        "rotated-atss, peak MB": ("rotated_atss_peak_mb", number), "equal rows": ("merged_rows.same", "{:,}"),
        "tied": "merged_rows.tied", "different": "merged_rows.different",
    }, ["Peak memory is summed over all processes of the command, reading and writing text included."]),
    "evaluate": Section("Evaluation (baseline: dotadevkit)", {
        "detections": ("detections", "{:,}"), "images": "images", **_times("dotadevkit", "s", spread),
        "rotated-atss, peak MB": ("rotated_atss_peak_mb", number),
        "largest class-wise AP50 difference": ("largest_ap50_difference", number),
    }, [
        "rotated-atss evaluates at ten IoU thresholds, dotadevkit at 0.5 only. The baseline is measured on fewer "
        "detections because it is slow. Reading text is part of the time.",
    ]),
    "others": Section("Comparison with supervision, sahi and ultralytics", OTHER_IOU, [
        "IoU of all pairs in float32; reference of the errors: the closed form in float64. supervision is given "
        "corners in float64, rotated-atss boxes in float32.",
        Table("Class-wise NMS at {settings[iou_threshold]}:", OTHER_NMS, rows_of("NMS")),
        best_thresholds,
        Table(
            "Splitting {settings[data]}, repeated to {settings[images]} images. rotated-atss writes the same kind of "
            "files as the baseline: tiles cropped at the image border; compared with ultralytics, lossy JPEG, its only "
            "format, in one process, as it has no option for more. The workers of sahi are the threads that write its "
            "tiles.", OTHER_SPLIT, rows_of("splitting"),
        ),
        lambda record: [f"Not measured: {reason}." for reason in record["missing"].values()],
        NOT_COMPARABLE,
    ], rows_of("IoU")),
}  # fmt: skip
