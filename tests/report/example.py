"""A made-up report in the format of report.json, with names that need escaping and undefined values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MARKUP_CLASS = 'tank <b id="x">& co'
HOSTILE_IMAGE = "P\"0'</script><script>window.injected = 1</script>"
NAMES = (
    "plane", "baseball-diamond", "bridge", "ground-track-field", "small-vehicle", "large-vehicle", "ship",
    "tennis-court", "basketball-court", MARKUP_CLASS, "soccer-ball-field", "roundabout", "harbor", "swimming-pool",
    "helicopter",
)  # fmt: skip
EMPTY_CLASS = "helicopter"  # without objects and detections
KINDS = ("classification", "localization", "angle", "duplicate", "background", "missed")
GROUPS = {
    "size": (0, 16, 32, 64, 128, 256, None),
    "aspect_ratio": (1, 1.5, 2, 3, 5, 8, None),
    "angle_deg": tuple(range(-90, 91, 30)),
    "density": (1, 10, 50, 200, None),
}
UNITS = {
    "size": "px, square root of the area", "aspect_ratio": "long side / short side",
    "angle_deg": "direction of the long side, degrees", "density": "objects per image",
}  # fmt: skip


def example_report(seed: int = 0, images: int = 40, quality: float = 0.8) -> dict[str, Any]:
    """Return a report whose counts agree with each other.

    Args:
        seed: Seed of the random numbers.
        images: Number of images.
        quality: Mean of the recall.
    """
    rng = np.random.default_rng(seed)
    objects = [0 if name == EMPTY_CLASS else int(rng.integers(8, 900)) for name in NAMES]
    flags = [_simulate(rng, each, quality) for each in objects]
    together = tuple(np.concatenate([flag[part] for flag in flags]) for part in (0, 1))
    threshold = _best_threshold(*together, sum(objects))
    classes = [_class(name, each, threshold, *flag) for name, each, flag in zip(NAMES, objects, flags)]
    curves = {each["name"]: _curve(flag, each["objects"]) for each, flag in zip(classes, flags)}
    summary = _summary(classes, images)
    rows = _images(rng, summary, images)
    ranked = sorted((row for row in rows if row["f1"] is not None), key=lambda row: row["f1"])
    return {
        "format": "rotated-atss-report",
        "format_version": 1,
        "created_by": "rotated-atss 0.1.0",
        "kind": "oriented",
        "settings": {
            "dataset": "v1.0", "metric": "voc07", "difficult": "ignore",
            "iou_thresholds": [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
            "iou_threshold": 0.5, "score_threshold": threshold, "score_threshold_rule": "best F1 over all classes",
        },
        "inputs": {
            "detections": "work_dirs/atss_r50/Task1", "labels": ["data/val/labelTxt", "data/extra/labelTxt"],
            "command": "rotated-atss evaluate work_dirs/atss_r50/Task1 --labels data/val/labelTxt --report out <x>",
        },
        "summary": summary,
        "classes": classes,
        "curves": {**curves, "all classes": _curve(together, sum(objects))},
        "confusion": _confusion(rng, classes, threshold),
        "errors": _errors(rng, classes),
        "groups": {name: _groups(rng, edges, sum(objects)) for name, edges in GROUPS.items()},
        "group_units": UNITS,
        "calibration": _calibration(*together),
        "images": rows,
        "best_images": [row["image"] for row in ranked[:-9:-1]],
        "worst_images": [row["image"] for row in ranked[:8]],
        "assignment": None,
    }  # fmt: skip


def _simulate(rng: np.random.Generator, objects: int, quality: float) -> tuple[NDArray, NDArray]:
    """Return scores in descending order, and which of the detections are matched."""
    recall = np.clip(rng.normal(quality, 0.15), 0.2, 0.98)
    hits, misses = int(objects * recall), int(objects * rng.uniform(0.5, 4))
    scores = np.concatenate([rng.beta(5, 2.2, hits), rng.beta(1.3, 6, misses)]).round(4)
    order = np.argsort(-scores, kind="stable")
    return scores[order], (np.arange(hits + misses) < hits)[order]


def _best_threshold(scores: NDArray, matched: NDArray, objects: int) -> float:
    order = np.argsort(-scores, kind="stable")
    tp = np.cumsum(matched[order])
    f1 = 2 * tp / (np.arange(1, len(tp) + 1) + objects)
    return float(scores[order][f1.argmax()])


def _class(name: str, objects: int, threshold: float, scores: NDArray, matched: NDArray) -> dict[str, Any]:
    sizes = {"name": name, "objects": objects, "ignored": objects // 20, "detections": len(scores)}
    if not objects:
        rates = dict.fromkeys(("AP50", "AP75", "AP50_95", "precision", "recall", "f1", "best_score_threshold"))
        return {**sizes, **rates, "tp": 0, "fp": 0, "fn": 0}
    tp = np.cumsum(matched)
    precision, recall = tp / np.arange(1, len(tp) + 1), tp / objects
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    ap50 = float((np.diff(recall, prepend=0) * envelope).sum())
    above = scores >= threshold
    hits = int(matched[above].sum())
    return {
        **sizes, "AP50": ap50, "AP75": ap50 * 0.71, "AP50_95": ap50 * 0.58, "precision": float(precision[best]),
        "recall": float(recall[best]), "f1": float(f1[best]), "best_score_threshold": float(scores[best]),
        "tp": hits, "fp": int(above.sum()) - hits, "fn": objects - hits,
    }  # fmt: skip


def _curve(flags: tuple[NDArray, ...], objects: int) -> dict[str, list[float]]:
    if not objects:
        return {"precision": [], "recall": [], "score": [], "f1": []}
    scores, matched = flags
    order = np.argsort(-scores, kind="stable")
    tp = np.cumsum(matched[order])
    precision, recall = tp / np.arange(1, len(tp) + 1), tp / objects
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    kept = np.unique(np.linspace(0, len(tp) - 1, 200).astype(int))
    values = {"precision": precision, "recall": recall, "score": scores[order], "f1": f1}
    return {name: value[kept].tolist() for name, value in values.items()}


def _rates(tp: int, fp: int, fn: int) -> dict[str, float | None]:
    return {
        "precision": tp / (tp + fp) if tp + fp else None, "recall": tp / (tp + fn) if tp + fn else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    }  # fmt: skip


def _summary(classes: list[dict[str, Any]], images: int) -> dict[str, Any]:
    totals = {key: sum(each[key] for each in classes) for key in ("objects", "ignored", "detections", "tp", "fp", "fn")}
    known = [each for each in classes if each["objects"]]
    means = {key: float(np.mean([each[key] for each in known])) for key in ("AP50", "AP75", "AP50_95")}
    return {"images": images, **totals, **means, **_rates(totals["tp"], totals["fp"], totals["fn"])}


def _confusion(rng: np.random.Generator, classes: list[dict[str, Any]], threshold: float) -> dict[str, Any]:
    size = len(classes) + 1
    matrix = np.zeros((size, size), int)
    for index, each in enumerate(classes):
        wrong = rng.multinomial(each["fn"] // 5, rng.dirichlet(np.full(len(classes), 0.15)))
        matrix[index, :-1] += wrong
        matrix[index, index] += each["tp"]
        matrix[index, -1] = each["objects"] - matrix[index].sum()
        matrix[-1, index] = each["fp"]
    names = [each["name"] for each in classes]
    return {
        "classes": [*names, "background"], "matrix": matrix.tolist(), "score_threshold": threshold,
        "iou_threshold": 0.5,
    }  # fmt: skip


def _errors(rng: np.random.Generator, classes: list[dict[str, Any]]) -> dict[str, Any]:
    per_class = {}
    for each in classes:
        shares = rng.multinomial(each["fp"], rng.dirichlet([2, 3, 2, 0.5, 5]))
        counts = [*map(int, shares), int(each["fn"] * 0.7)]
        costs = [None if each["AP50"] is None else float(count / (each["objects"] + 200)) * 0.2 for count in counts]
        per_class[each["name"]] = {
            kind: {"count": count, "ap50_cost": cost} for kind, count, cost in zip(KINDS, counts, costs)
        }
    total = {
        kind: {
            "count": sum(values[kind]["count"] for values in per_class.values()),
            "ap50_cost": float(np.mean([values[kind]["ap50_cost"] or 0.0 for values in per_class.values()])),
        }
        for kind in KINDS
    }
    return {"kinds": list(KINDS), "all": total, "classes": per_class}


def _groups(rng: np.random.Generator, edges: tuple[float | None, ...], objects: int) -> list[dict[str, Any]]:
    counts = rng.multinomial(objects, rng.dirichlet(np.full(len(edges) - 1, 1.5)))
    counts[0] = 0
    return [
        {
            "from": low, "to": high, "objects": int(count), "AP50": float(rng.uniform(0.3, 0.9)) if count else None,
            "recall": float(rng.uniform(0.4, 0.95)) if count else None,
        }
        for low, high, count in zip(edges, edges[1:], counts)
    ]  # fmt: skip


def _calibration(scores: NDArray, matched: NDArray) -> dict[str, Any]:
    bins, error = [], 0.0
    for index in range(10):
        inside = np.clip((scores * 10).astype(int), 0, 9) == index
        known = bool(inside.any())
        mean, precision = (float(scores[inside].mean()), float(matched[inside].mean())) if known else (None, None)
        error += 0 if mean is None or precision is None else abs(mean - precision) * inside.mean()
        bins.append({
            "from": index / 10, "to": (index + 1) / 10, "detections": int(inside.sum()), "mean_score": mean,
            "precision": precision,
        })  # fmt: skip
    return {"bins": bins, "expected_calibration_error": float(error)}


def _images(rng: np.random.Generator, summary: dict[str, Any], images: int) -> list[dict[str, Any]]:
    shares = rng.dirichlet(np.full(images, 0.7))
    shares[1:][-1:] = 0  # an image without objects and detections
    shares /= shares.sum()
    tp, fp, fn, ignored = (rng.multinomial(summary[key], shares) for key in ("tp", "fp", "fn", "ignored"))
    low = rng.multinomial(summary["detections"] - summary["tp"] - summary["fp"], shares)
    names = [f"P{rng.integers(1, 2800):04d}_{index}" for index in range(images)]
    names[min(3, images - 1)] = HOSTILE_IMAGE
    return [
        {
            "image": name, "objects": int(tp[i] + fn[i]), "ignored": int(ignored[i]),
            "detections": int(tp[i] + fp[i] + low[i]), "tp": int(tp[i]), "fp": int(fp[i]), "fn": int(fn[i]),
            **_rates(int(tp[i]), int(fp[i]), int(fn[i])),
        }
        for i, name in enumerate(names)
    ]  # fmt: skip
