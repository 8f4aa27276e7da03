"""Speed of a detector on the CPU by form of the model, in one run.

The demo's R18 config, untrained, on windows of --size px: torch in float32 and bfloat16 as predict runs it, and the
exported graph on ONNX Runtime and OpenVINO in float32 and int8. Each form computes the same batch, with decoding,
selection and NMS, in alternating runs. bfloat16 is measured also where the processor has no instructions for it.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from benchmarks.records import Record, Row
from benchmarks.timing import alternate, seconds_of, summary

OPTIONS = dict(repeats=7, size=1024, batch=[1])

CONFIG = "rotated_atss_obb_r18_demo_le90"
SCORE_BIAS = -6.0  # of an untrained class layer: few candidates
CALIBRATION_IMAGES = 4


def measure(args: argparse.Namespace) -> Record:
    forms = build_forms(args.folder, args.size)
    rows = [row for batch_size in args.batch for row in measure_batch(forms, batch_size, args)]
    return {"settings": {"config": CONFIG, "size": args.size}, "rows": rows}


def measure_batch(forms: dict[str, Any], batch_size: int, args: argparse.Namespace) -> list[Row]:
    """Time all forms in alternating runs, after one unmeasured run of each."""
    tiles = [noise(args.size, number) for number in range(batch_size)]
    for detector in forms.values():
        detector(tiles)
    calls = {name: partial(seconds_of, partial(detector, tiles)) for name, detector in forms.items()}
    seconds = alternate(calls, dict.fromkeys(calls, args.repeats))
    rows = [{"form": name, "batch": batch_size, "seconds": summary(times)} for name, times in seconds.items()]
    base = rows[0]["seconds"]["median"]
    return [{**row, "speedup": round(base / row["seconds"]["median"], 2)} for row in rows]


def build_forms(folder: Path, size: int) -> dict[str, Any]:
    from rotated_atss.detection.engine.config import build_model, load_config
    from rotated_atss.detection.engine.export import ExportOptions, export
    from rotated_atss.detection.engine.inference import load_detector as load_in_torch
    from rotated_atss.runtime import load_detector

    torch.manual_seed(0)
    model = build_model(load_config(CONFIG))
    model.bbox_head.retina_cls.bias.data.fill_(SCORE_BIAS)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / "model.pth")
    (folder / "images").mkdir()
    for number in range(CALIBRATION_IMAGES):
        cv2.imwrite(str(folder / "images" / f"P{number}.png"), noise(size, number))
    float32, network = (load_in_torch(CONFIG, folder / "model.pth", device="cpu", channels_last=True) for _ in range(2))
    forms = {"torch, float32": float32, "torch, bfloat16": in_bfloat16(network)}
    options = ExportOptions(onnx=folder / "float32.onnx")
    for precision, more in (("float32", {}), ("int8", {"calibration": folder / "images"})):
        path = folder / f"{precision}.onnx"
        list(export(CONFIG, folder / "model.pth", dataclasses.replace(options, onnx=path, precision=precision, **more)))
        for runtime in ("onnxruntime", "openvino"):
            if find_spec(runtime):
                detector = load_detector(path, runtime=runtime, device="cpu")
                forms[detector.description] = detector
    return forms


def in_bfloat16(detector: Any) -> Callable[[list], list]:
    """Run a detector of torch under autocast, whether or not the processor has instructions for bfloat16."""

    def detect(tiles: list) -> list:
        batch = pseudo_collate([detector.pipeline({"img": tile, "img_id": i}) for i, tile in enumerate(tiles)])
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return detector.model.test_step(batch)

    return detect


def noise(size: int, seed: int) -> np.ndarray:
    """Return a smooth random image (H, W, 3), uint8."""
    values = np.random.default_rng(seed).integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
    return cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC)
