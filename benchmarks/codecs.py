"""Encoders of tiles: time and size of writing, and time of reading, behind the choice made in rotated_atss.io.png."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from benchmarks.records import Row
from rotated_atss.io import png

Encoder = Callable[[np.ndarray], bytes]
NONE, SUB, UP, AVERAGE = range(4)  # filter numbers of PNG
FILTERS = {"none": NONE, "sub": SUB, "up": UP, "average": AVERAGE}
STRATEGIES = {"default": 0, "filtered": 1, "huffman": 2, "rle": 3}


def encoders() -> dict[str, Encoder]:
    """Return encoders of (H, W, 3) BGR images by name, without those of packages that are not installed."""
    isal, found = png._isal(), {"opencv, default settings": _opencv}
    if isal is not None:
        found |= {f"isal {level}, filter up": partial(_deflate, isal, UP, level) for level in (0, 1, 2)}
        found |= {f"isal 1, filter {name}": partial(_deflate, isal, number, 1) for name, number in FILTERS.items()}
    for name, number in STRATEGIES.items():
        settings = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, number]
        found[f"opencv 1, {name}"] = partial(_opencv, settings=settings)
        if hasattr(cv2, "IMWRITE_PNG_FILTER"):
            settings = [*settings, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
            found[f"opencv 1, {name}, filter up"] = partial(_opencv, settings=settings)
    found["jpeg 95 (lossy)"] = partial(_opencv, suffix=".jpg")
    return found


def measure(tiles: Sequence[np.ndarray], repeats: int) -> list[Row]:
    """Measure every encoder: milliseconds of CPU time per tile, total megabytes, and whether pixels are kept."""
    rows = []
    for name, encode in encoders().items():
        files = [encode(tile) for tile in tiles]
        own = png.decode_png(files[0]) is not None
        rows.append({
            "codec": name, "write_ms": _milliseconds(encode, tiles, repeats),
            "read_ms": _milliseconds(_decode, files, repeats),
            "rotated_atss_read_ms": _milliseconds(png.decode_png, files, repeats) if own else None,
            "mb": round(sum(map(len, files)) / 1e6, 1),
            "lossless": all(map(np.array_equal, tiles, map(_decode, files))),
        })  # fmt: skip
    return rows


def _milliseconds(function: Callable[[Any], object], items: Sequence[Any], repeats: int) -> float:
    """Return the median CPU time per item."""
    runs = []
    for _ in range(repeats):
        started = time.thread_time()
        for item in items:
            function(item)
        runs.append(time.thread_time() - started)
    return round(statistics.median(runs) / len(items) * 1e3, 2)


def _opencv(tile: np.ndarray, settings: Sequence[int] = (), suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, tile, list(settings))[1].tobytes()


def _decode(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def _deflate(isal: ModuleType, filter_number: int, level: int, tile: np.ndarray) -> bytes:
    rows = _filtered(tile, filter_number)
    return png.png_file(tile.shape[1], tile.shape[0], [isal.compress(rows, level)], isal)


def _filtered(tile: np.ndarray, filter_number: int) -> np.ndarray:
    """Return (H, 1 + 3 W) filtered rows in RGB."""
    if filter_number == UP:
        return png._filtered_rows(tile)
    rgb = cv2.cvtColor(tile, cv2.COLOR_BGR2RGB).reshape(len(tile), -1)
    rows = np.empty((len(rgb), 1 + rgb.shape[1]), dtype=np.uint8)
    rows[:, 0] = filter_number
    rows[:, 1:] = rgb
    if filter_number == NONE:
        return rows
    left = np.pad(rgb, ((0, 0), (3, 0)))[:, :-3]
    if filter_number == AVERAGE:
        above = np.pad(rgb, ((1, 0), (0, 0)))[:-1]
        left = (left & above) + ((left ^ above) >> 1)  # mean rounded down within eight bits
    rows[:, 1:] -= left
    return rows
