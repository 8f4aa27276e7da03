"""How many positives an assigner gives to which objects: counting, and the report in words. Plain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHARE_OF_CANDIDATES = 0.2  # what the paper expects above mean plus deviation: about 0.2 k L positives an object
SIZE_EDGES_PX = (0, 8, 16, 32, 64, 128, 256, 512, math.inf)
ASPECT_EDGES = (1, 1.5, 2, 3, 5, 8, math.inf)
ANGLE_EDGES_DEG = tuple(range(-90, 91, 15))


@dataclass
class Tally:
    """What has been counted of one assigner, object after object and level after level.

    Args:
        strides: Of the levels.
        expected: Positives an object that the paper's claim foresees, None where it makes none.
    """

    strides: Sequence[int]
    expected: float | None = None
    by_level: NDArray[np.int64] = field(init=False)
    _positives: list[NDArray] = field(default_factory=list)
    _above: list[NDArray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.by_level = np.zeros(len(self.strides), np.int64)

    def add(
        self, gt_index: Tensor, level_sizes: Sequence[int], objects: int, above_threshold: Tensor | None = None
    ) -> None:
        """Count one image: ``gt_index`` (A,) as the assigners give it, level after level, for so many objects; of
        ATSS also how many candidates of each object (G,) reach its threshold.
        """
        gt_index = gt_index.cpu()
        self._positives.append(torch.bincount(gt_index[gt_index >= 0], minlength=objects).numpy())
        if above_threshold is not None:
            self._above.append(above_threshold.cpu().numpy())
        self.by_level += np.array([int((level >= 0).sum()) for level in gt_index.split(list(level_sizes))])

    @property
    def positives(self) -> NDArray[np.int64]:
        """(G,) of every object so far."""
        return np.concatenate([np.zeros(0, np.int64), *self._positives])

    @property
    def above_threshold(self) -> NDArray[np.int64]:
        """(G,) as they were given."""
        return np.concatenate([np.zeros(0, np.int64), *self._above])


@dataclass
class Objects:
    """Size, shape and direction of every object counted so far."""

    oriented: bool
    size: list[NDArray] = field(default_factory=list)  # square root of area, pixels of the network's input
    aspect: list[NDArray] = field(default_factory=list)  # long side over short side
    angle: list[NDArray] = field(default_factory=list)  # of the long side, degrees clockwise from the x axis, [-90, 90)

    def add(self, boxes: Tensor) -> None:
        """Objects (G, 5) or (G, 4) of one image."""
        boxes = boxes.double().cpu()
        wh = (boxes[:, 2:4] if self.oriented else boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
        self.size.append(wh.prod(1).sqrt().numpy())
        self.aspect.append((wh.amax(1) / wh.amin(1).clamp(min=1e-9)).numpy())
        if self.oriented:
            turn = torch.where(wh[:, 0] < wh[:, 1], 90.0, 0.0)
            self.angle.append((torch.remainder(boxes[:, 4].rad2deg() + turn + 90, 180) - 90).numpy())

    def grouped(self) -> dict[str, tuple[NDArray, Sequence[float]]]:
        """What the report groups by: name -> (value of every object, edges)."""
        groups: dict[str, tuple[NDArray, Sequence[float]]] = {
            "size": (_joined(self.size), SIZE_EDGES_PX),
            "aspect": (_joined(self.aspect), ASPECT_EDGES),
        }
        if self.oriented:
            groups["angle"] = (_joined(self.angle), ANGLE_EDGES_DEG)
        return groups


def summarize(objects: Objects, tallies: dict[str, Tally]) -> dict[str, Any]:
    """Everything that is known, ready for JSON: for each assigner means an object, by group and by level."""
    return {
        "objects": int(sum(map(len, objects.size))),
        "assigners": {name: _summary(objects, tally) for name, tally in tallies.items()},
    }


def _summary(objects: Objects, tally: Tally) -> dict[str, Any]:
    positives = tally.positives
    return {
        "positives": int(positives.sum()),
        "positives_per_object": _mean(positives),
        "expected_per_object": tally.expected,
        "above_threshold_per_object": _mean(tally.above_threshold),
        "deviation": float(positives.std()) if len(positives) else None,
        "without": int((positives == 0).sum()),
        "objects_by_positives": np.bincount(positives).tolist(),
        "by_level": {str(stride): int(count) for stride, count in zip(tally.strides, tally.by_level)},
        **{f"by_{name}": _groups(positives, *group) for name, group in objects.grouped().items()},
    }


def _groups(positives: NDArray, values: NDArray, edges: Sequence[float]) -> list[dict[str, Any]]:
    """One entry an interval ``from <= value < to`` that has objects."""
    groups = []
    for low, high in pairwise(edges):
        members = positives[(values >= low) & (values < high)]
        if len(members):
            groups.append({
                "from": low, "to": None if math.isinf(high) else high, "objects": len(members),
                "positives_per_object": _mean(members), "without": int((members == 0).sum()),
            })  # fmt: skip
    return groups


def format_report(report: dict[str, Any]) -> str:
    """The tables that the command prints."""
    each = report["assigners"]
    lines = [_row("", each), _row("positives an object", each, lambda a: _number(a["positives_per_object"]))]
    if any(a["expected_per_object"] is not None for a in each.values()):
        lines.append(_row("  the paper's 0.2 k L", each, lambda a: _number(a["expected_per_object"])))
        lines.append(_row("  before the centre test", each, lambda a: _number(a["above_threshold_per_object"])))
    lines.append(_row("  standard deviation", each, lambda a: _number(a["deviation"])))
    lines.append(
        _row("objects with none", each, lambda a: f"{a['without']} ({_share(a['without'], report['objects'])})")
    )
    for name, title in (("size", "square root of area, px"), ("aspect", "long / short side"), ("angle", "angle, deg")):
        lines += _grouped_lines(each, f"by_{name}", title)
    lines += ["", _row("positives a level", each)]
    for stride in next(iter(each.values()))["by_level"]:
        lines.append(_row(f"  stride {stride}", each, partial(_level_cell, stride)))
    return "\n".join(lines)


def _grouped_lines(each: dict[str, dict], key: str, title: str) -> list[str]:
    first = next(iter(each.values())).get(key)
    if not first:
        return []
    lines = ["", _row(title, each, lambda a: "mean  none", extra="objects")]
    for index, group in enumerate(first):
        label = f"  {group['from']} to {group['to']}" if group["to"] is not None else f"  from {group['from']}"
        lines.append(_row(label, each, partial(_group_cell, key, index), extra=str(group["objects"])))
    return lines


def _row(label: str, each: dict[str, dict], cell: Callable[[dict], str] | None = None, extra: str = "") -> str:
    cells = [name if cell is None else cell(summary) for name, summary in each.items()]
    return f"{label:<26}{extra:>9}" + "".join(f"{text:>20}" for text in cells)


def _group_cell(key: str, index: int, summary: dict[str, Any]) -> str:
    group = summary[key][index]
    return f"{_number(group['positives_per_object'])} {_share(group['without'], group['objects']):>5}"


def _level_cell(stride: str, summary: dict[str, Any]) -> str:
    count = summary["by_level"][stride]
    return f"{count} ({_share(count, summary['positives'])})"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _mean(values: NDArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _joined(parts: list[NDArray]) -> NDArray:
    return np.concatenate([np.zeros(0), *parts])
