"""Run ``rotated-atss predict`` with a detector that costs nothing, to measure and interrupt the rest of the command.

    python benchmarks/reliability/stub_predict.py IMAGE|DIR --out OUT [options of predict]

The detector places a box of one of 15 classes at every 32nd pixel (``STUB_STEP``); scores, angles and classes follow
from the pixels, so that a wrong pixel changes the result.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from rotated_atss import cli
from rotated_atss.cli import predict
from rotated_atss.dota.classes import CLASSES
from rotated_atss.io.files import append_line
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.io.png import Image

STEP = int(os.environ.get("STUB_STEP", "32"))  # pixels between boxes


class StubDetector:
    """A detector without weights."""

    classes, size, gap, iou_threshold = CLASSES["v1.0"], 1024, 200, 0.1
    pixels, info = PixelOptions(), None

    def __call__(self, tiles: list[Image]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Detect on tiles."""
        return [_detect(tile) for tile in tiles]


def _detect(tile: Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pixels = tile[STEP // 2 :: STEP, STEP // 2 :: STEP].astype(np.int64)
    y, x = np.meshgrid(*(np.arange(side) * STEP + STEP / 2 for side in pixels.shape[:2]), indexing="ij")
    blue, green, red = pixels.reshape(-1, 3).T
    boxes = np.stack([x.ravel(), y.ravel(), 12.0 + green % 20, 8.0 + red % 8, blue / 81], axis=1)
    scores = ((1 + blue + green + red) / 766).astype(np.float32)
    return boxes, scores, (blue + red) % len(StubDetector.classes)


def predict_with_stub(words: list[str], log: Path | None = None) -> int:
    """Run the command with the stub as its model; append a line ``image`` to ``log`` for every image processed."""
    predict.load_any_detector = lambda *_: StubDetector()  # type: ignore[assignment,return-value]
    predict_file = predict.predict_file

    def logged(*arguments: Any, **options: Any) -> None:
        append_line(log, b"image")
        predict_file(*arguments, **options)

    if log is not None:
        predict.predict_file = logged
    return cli.main(["predict", __file__, *words])  # any file is a model: it is not read


if __name__ == "__main__":
    sys.exit(predict_with_stub(sys.argv[1:]))
