"""Ways to write a tile: what each costs in time and bytes, and what reading it back costs a training.

The measurement behind rotated_atss/png.py. Every way is given the same tiles, and its pixels are compared with theirs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from rotated_atss.io import png

Encoder = Callable[[np.ndarray], bytes]
NONE, SUB, UP, AVERAGE = range(4)  # PNG's numbers of its filters
FILTERS = {"none": NONE, "sub": SUB, "up": UP, "average": AVERAGE}
STRATEGIES = {"default": 0, "filtered": 1, "huffman": 2, "rle": 3}


def codecs() -> dict[str, Encoder]:
    """Name -> encoder of a (H, W, 3) BGR image; those of packages that are not installed are left out."""
    isal, found = png._isal(), {"opencv, as it comes": _opencv}
    if isal is not None:
        found |= {f"isal {level}, filter up": partial(_deflated, isal, UP, level) for level in (0, 1, 2)}
        found |= {f"isal 1, filter {name}": partial(_deflated, isal, number, 1) for name, number in FILTERS.items()}
    for name, number in STRATEGIES.items():
        settings = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, number]
        found[f"opencv 1, {name}"] = partial(_opencv, settings=settings)
        if hasattr(cv2, "IMWRITE_PNG_FILTER"):
            settings = [*settings, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
            found[f"opencv 1, {name}, filter up"] = partial(_opencv, settings=settings)
    found["jpeg 95 (loses detail)"] = partial(_opencv, suffix=".jpg")
    try:
        import imagecodecs

        found["imagecodecs spng 1"] = lambda tile: imagecodecs.spng_encode(tile[..., ::-1].copy(), level=1)
    except ImportError:
        pass
    return found


def measure(tiles: Sequence[np.ndarray], repeats: int) -> list[dict[str, Any]]:
    """A row a way: milliseconds of this thread to write a tile and to read it, with OpenCV and where it can with ours,
    megabytes of all, the pixels kept.
    """
    return [{"codec": name, **_row(encode, tiles, repeats)} for name, encode in codecs().items()]


def _row(encode: Encoder, tiles: Sequence[np.ndarray], repeats: int) -> dict[str, Any]:
    files = [encode(tile) for tile in tiles]
    back = [_decode(data) for data in files]
    return {
        "write_ms": _milliseconds(encode, tiles, repeats),
        "read_ms": _milliseconds(_decode, files, repeats),
        "read_by_ours_ms": _milliseconds(png.decode_png, files, repeats)
        if png.decode_png(files[0]) is not None
        else None,
        "mb": round(sum(map(len, files)) / 1e6, 1),
        "lossless": all(map(np.array_equal, tiles, back)),
    }


def _milliseconds(function: Callable[[Any], object], items: Sequence[Any], repeats: int) -> float:
    """Of processor time an item, the median of the runs."""
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


def _deflated(deflate: ModuleType, number: int, level: int, tile: np.ndarray) -> bytes:
    return png.png_file(tile.shape[1], tile.shape[0], [deflate.compress(_filtered(tile, number), level)], deflate)


def _filtered(tile: np.ndarray, number: int) -> np.ndarray:
    """(H, 1 + 3 W): the rows of the tile in RGB less what the filter predicts."""
    if number == UP:
        return png._filtered_rows(tile)
    rgb = cv2.cvtColor(tile, cv2.COLOR_BGR2RGB).reshape(len(tile), -1)
    rows = np.empty((len(rgb), 1 + rgb.shape[1]), dtype=np.uint8)
    rows[:, 0] = number
    rows[:, 1:] = rgb
    if number == NONE:
        return rows
    left = np.pad(rgb, ((0, 0), (3, 0)))[:, :-3]
    if number == AVERAGE:
        above = np.pad(rgb, ((1, 0), (0, 0)))[:-1]
        left = (left & above) + ((left ^ above) >> 1)  # the mean rounded down, without leaving eight bits
    rows[:, 1:] -= left
    return rows
