"""Prediction on one large image: seconds and peak memory of the whole command by size, format and detector.

Images come from reliability/make_gigapixel.py and are kept in --data, if given. Every run is a command of its own, run
once, without pictures. The detectors ``stub`` cost nothing and return a box per 64 x 64 or 256 x 256 pixels
(reliability/stub_predict.py); ``r18`` is the untrained demo model with windows of 1024 px. Baselines with the same
windows: sahi's get_sliced_prediction with the stub on the PNG file, and geodeep with a graph like the stub on the tiled
TIFF, if --geodeep names a Python that has it. A baseline that fails or takes longer than --limit seconds is named with
the reason.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.memory import command_peak
from benchmarks.records import ROOT, Record, Row, target
from benchmarks.reliability.make_gigapixel import make_gigapixel

OPTIONS = dict(sizes=[4000, 8000, 16000, 30000], formats=["tiled"], model_sizes=[4000, 8000], limit=300,
               baseline_sizes=[4000, 8000, 16000, 30000], geodeep="", data="")  # fmt: skip

STUB = ROOT / "benchmarks/reliability/stub_predict.py"
MODEL = "rotated_atss_obb_r18_demo_le90"
OUT, WEIGHTS_FILE, GRAPH_FILE = "out", "model.pth", "stub.onnx"
WEIGHTS = """
import sys, torch
from rotated_atss.detection.engine.config import build_model, load_config
torch.manual_seed(0)
torch.save({"state_dict": build_model(load_config(sys.argv[1])).state_dict()}, sys.argv[2])
"""
SAHI = """
import sys
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
from benchmarks.reliability.stub_predict import StubDetector
from rotated_atss.interop.sahi import OrientedDetectionModel
from sahi.predict import get_sliced_prediction
model = OrientedDetectionModel(StubDetector(), confidence_threshold=0)
overlap = 200 / 1024
result = get_sliced_prediction(
    sys.argv[1], model, 1024, 1024, overlap, overlap, postprocess_type="NMS", postprocess_match_metric="IOU",
    postprocess_match_threshold=0.1, perform_standard_pred=False, verbose=0,
)
print(len(result.object_prediction_list))
"""
GEODEEP = """
import sys
from geodeep import run
print(len(run(sys.argv[1], sys.argv[2], "raw")))
"""


def measure(args: argparse.Namespace) -> Record:
    rows = [{"library": "import torch", **run([sys.executable, "-c", "import torch"], args.limit)}]
    data = Path(args.data or args.folder / "data")
    subprocess.run([sys.executable, "-c", WEIGHTS, MODEL, args.folder / WEIGHTS_FILE], check=True, cwd=ROOT)
    write_stub_graph(args.folder / GRAPH_FILE)
    for size in sorted({*args.sizes, *args.model_sizes, *args.baseline_sizes}):
        for library, detector, form, words in runs_of(size, data, args):
            row: Row = {"library": library, "detector": detector, "size": size, "format": form}
            row |= run(words, args.limit * (4 if detector == "r18" else 1), 256 if detector == "stub 256" else 64)
            shutil.rmtree(args.folder / OUT, ignore_errors=True)
            if "seconds" in row:
                row["s_per_megapixel"] = round(row["seconds"] / (size * size / 1e6), 4)
            rows.append(row)
    missing = "" if args.geodeep else "geodeep was not measured: --geodeep was not given"
    settings = {"window": 1024, "overlap": 200, "limit_s": args.limit}
    return {"settings": settings, "rows": rows, "targets": targets(rows), "baseline_missing": missing}


def runs_of(size: int, data: Path, args: argparse.Namespace) -> Iterator[tuple[str, str, str, list[object]]]:
    """Yield library, detector, format and command of the runs on images of one size."""
    formats = [*args.formats, "tiled", *(["png"] if size in args.baseline_sizes else [])]
    images = make_gigapixel(data, size, list(dict.fromkeys(formats)))
    options = ["--size", "1024", "--gap", "200", "--no-pictures", "--out", args.folder / OUT]
    for form in args.formats if size in args.sizes else ():
        yield "rotated-atss", "stub", form, [sys.executable, STUB, images[form], *options]
    if size in args.model_sizes:
        predict = [sys.executable, "-m", "rotated_atss", "predict", MODEL, args.folder / WEIGHTS_FILE]
        yield "rotated-atss", "r18", "tiled", [*predict, images["tiled"], *options, "--device", "cpu"]
    if size in args.baseline_sizes:
        yield "sahi", "stub", "png", [sys.executable, "-c", SAHI, images["png"]]
    if size in args.baseline_sizes and args.geodeep:
        yield "rotated-atss", "stub 256", "tiled", [sys.executable, STUB, images["tiled"], *options]
        yield "geodeep", "stub 256", "tiled", [args.geodeep, "-c", GEODEEP, images["tiled"], args.folder / GRAPH_FILE]


def write_stub_graph(path: Path) -> None:
    """Write a graph for geodeep that returns a box per 256 x 256 pixels, with the mean of the pixels as its score."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    centers = np.arange(128, 1024, 256, dtype=np.float32)
    y, x = (grid.reshape(-1) for grid in np.meshgrid(centers, centers, indexing="ij"))
    boxes = np.stack([x, y, np.full_like(x, 20), np.full_like(x, 12)], axis=1)[None]
    constants = {"boxes": boxes, "class": np.ones((1, len(x), 1), np.float32), "shape": np.array([1, -1, 1])}
    nodes = [
        helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[256, 256], strides=[256, 256]),
        helper.make_node("ReduceMean", ["cells"], ["gray"], axes=[1], keepdims=1),
        helper.make_node("Reshape", ["gray", "shape"], ["score"]),
        helper.make_node("Concat", ["boxes", "score", "class"], ["output"], axis=2),
    ]
    graph = helper.make_graph(
        nodes, "stub", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 1024, 1024])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, len(x), 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    settings = {"resolution": 30, "tiles_overlap": 100 * 200 / 1024, "det_conf": 0, "det_iou_thresh": 0.1}
    helper.set_model_props(model, {name: str(value) for name, value in settings.items()})
    save(model, str(path))


def run(words: Sequence[object], limit: float, step: int = 0) -> Row:
    """Run a command and return its seconds and peak megabytes, or the reason why it has none."""
    command = ["env", f"PYTHONPATH={ROOT}", f"STUB_STEP={step}", *map(str, words)]
    measured = command_peak(command, limit)
    return {"note": measured["note"]} if "note" in measured else measured


def targets(rows: Sequence[Row]) -> list[Row]:
    """Compare the largest image with the memory limit, and its time per pixel with that of the next smaller one."""
    own = [row for row in rows if row.get("detector") == "stub" and row["library"] == "rotated-atss"]
    stub = sorted((row for row in own if "peak_mb" in row), key=lambda row: row["size"])
    if not stub:
        return []
    size = stub[-1]["size"]
    largest = [row for row in stub if row["size"] == size]
    peak = max(row["peak_mb"] for row in largest)
    found = [target(f"{size:,} px, peak MB without a model, the largest of all files", peak, at_most=1000)]
    smaller = [row for row in stub if row["size"] < size and row["format"] == largest[0]["format"]]
    if smaller:
        ratio = round(largest[0]["s_per_megapixel"] / smaller[-1]["s_per_megapixel"], 2)
        found.append(target(f"{size:,} px, time per pixel over that of the next smaller image", ratio, at_most=1.5))
    return found
