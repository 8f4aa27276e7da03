"""Text tables and CSV of the report of :func:`rotated_atss.analysis.dataset_report.report_dataset`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rotated_atss.analysis.dataset_advice import MAX_NAMED
from rotated_atss.analysis.dataset_statistics import QUANTILES
from rotated_atss.analysis.tile_plan import describe_rates
from rotated_atss.errors import count_of
from rotated_atss.io.text_table import fit_columns, format_csv

_LENGTHS = (
    ("size", "square root of area, px"),
    ("long_side", "long side, px"),
    ("short_side", "short side, px"),
    ("extent", "extent along x or y, px"),
    ("aspect", "long / short side"),
    ("objects_per_image", "objects per image"),
    ("objects_per_tile", "objects per tile"),
)


def format_dataset(report: Mapping[str, Any], *, images_are_tiles: bool = False, width: int | None = None) -> str:
    """Format a report as text.

    Args:
        report: The report.
        images_are_tiles: Whether the images are tiles, so that objects per image are those per tile.
        width: Maximum number of characters per line of a table; None sets no limit.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.analysis.dataset_objects import DatasetObjects
        >>> from rotated_atss.analysis.dataset_report import report_dataset
        >>> index = np.zeros(1, np.int64)
        >>> objects = DatasetObjects(("P1",), np.array([[640, 480]]), np.array([np.nan]), index, index, ("ship",),
        ...                          np.array([[0.0, 0, 32, 0, 32, 8, 0, 8]]), index)
        >>> print(format_dataset(report_dataset(objects, None)).splitlines()[1])
        1 object of 1 class: 0 difficult, 0 truncated, 0 without area, 0 beyond the image
    """
    parts = [
        [_images_line(report["images"]), _objects_line(report), *(f"note: {note}" for note in report["notes"])],
        _class_lines(report["classes"], width),
        _length_lines(report, images_are_tiles, width),
        _angle_lines(report["groups"]["angle"], width),
        _plan_lines(report["plans"], width),
        _scale_lines(report["anchor_scales"], width),
        _advice_lines(report["advice"]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def classes_csv(classes: Sequence[Mapping[str, Any]]) -> bytes:
    """Format the classes of a report as CSV, one row per class.

    Example:
        >>> row = {"name": "ship", "objects": 0, "share": 0.0, "images": 0, "difficult": 0, "truncated": 0,
        ...        "size": None, "long_side": None, "aspect": None}
        >>> classes_csv([row]).decode().splitlines()[1][:15]
        'ship,0,0.0,0,0,'
    """
    counts = ("objects", "share", "images", "difficult", "truncated")
    shapes = ("size", "long_side", "aspect")
    names = (*QUANTILES, "mean")
    header = ["class", *counts, *(f"{shape}_{name}" for shape in shapes for name in names)]
    rows = [
        [each["name"], *(each[name] for name in counts), *((each[s] or {}).get(n) for s in shapes for n in names)]
        for each in classes
    ]
    return format_csv(header, rows).encode()


def _images_line(images: Mapping[str, Any]) -> str:
    words = [f"{count_of(images['count'], 'image')}"]
    if images["width"]:
        low, high = (f"{images['width'][at]:.0f} x {images['height'][at]:.0f}" for at in ("min", "max"))
        words.append(f"{low} px" if low == high else f"sides from {low} to {high} px")
        words.append(f"{images['megapixels']:.1f} megapixels")
    words.append(f"{images['without_objects']} without objects")
    resolution = images["ground_resolution"]
    if resolution["known"]:
        low, high = (f"{resolution['m_per_px'][at]:.3g}" for at in ("min", "max"))
        text = low if low == high else f"{low} to {high}"
        words.append(f"{text} m/px (known for {resolution['known']} of {images['count']})")
    return ", ".join(words)


def _objects_line(report: Mapping[str, Any]) -> str:
    objects = report["objects"]
    names = ("difficult", "truncated", "without_area", "beyond_image")
    texts = ("difficult", "truncated", "without area", "beyond the image")
    counts = ", ".join(f"{objects[name]} {text}" for name, text in zip(names, texts))
    return f"{count_of(objects['count'], 'object')} of {count_of(len(report['classes']), 'class')}: {counts}"


def _class_lines(classes: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    used = [each for each in classes if each["objects"]]
    if not used:
        return []
    rows = [["class", "objects", "share", "images", "difficult", "truncated", "size, px (5% median 95%)", "aspect"]]
    for each in used:
        size = " ".join(f"{_number(each['size'], at):>5}" for at in ("p5", "median", "p95"))
        counts = [str(each[name]) for name in ("images", "difficult", "truncated")]
        share = f"{100 * each['share']:.1f}%"
        rows.append([each["name"], str(each["objects"]), share, *counts, size, _number(each["aspect"], "median")])
    unused = [each["name"] for each in classes if not each["objects"]]
    more = ", ..." if len(unused) > MAX_NAMED else ""
    named = f"{count_of(len(unused), 'class')} without objects: {', '.join(unused[:MAX_NAMED])}{more}"
    return [*fit_columns(rows, width), *([named] if unused else [])]


def _length_lines(report: Mapping[str, Any], images_are_tiles: bool, width: int | None) -> list[str]:
    known = [(report[key], text) for key, text in _LENGTHS if report[key]]
    if images_are_tiles:
        known = [(values, text.replace("per image", "per tile")) for values, text in known]
    header = ["", "min", "1%", "5%", "median", "95%", "99%", "max"]
    rows = [header, *([text, *(_number(values, at) for at in QUANTILES)] for values, text in known)]
    return fit_columns(rows, width)


def _angle_lines(groups: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    total = sum(group["count"] for group in groups)
    if not total:
        return []
    header = ["direction of the long side, degrees from", *(str(group["from"]) for group in groups)]
    return fit_columns([header, ["objects", *(f"{100 * group['count'] / total:.0f}%" for group in groups)]], width)


def _plan_lines(plans: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    if not plans:
        return []
    rows = [["tiles of", "gap", "rates", "tiles", "empty", "objects per tile (median, max)", "cut", "in no tile"]]
    for each in plans:
        per_tile = f"{_number(each['objects_per_tile'], 'median')} {_number(each['objects_per_tile'], 'max'):>6}"
        cut = f"{each['cut']} ({100 * each['cut_share']:.2f}%)"
        rates, counts = describe_rates(each["rates"]), [str(each["tiles"]), str(each["tiles_without_objects"])]
        rows.append([f"{each['size']} px", str(each["gap"]), rates, *counts, per_tile, cut, str(each["in_no_tile"])])
    return fit_columns(rows, width)


def _scale_lines(fits: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    if not fits:
        return []
    rows = [["anchor scale", *(f"{fit['scale']:g}" for fit in fits)]]
    rows.append(["median of the highest IoU", *(f"{fit['median_iou']:.2f}" for fit in fits)])
    rows.append(["objects with IoU >= 0.5", *(f"{100 * fit['above_half']:.0f}%" for fit in fits)])
    return fit_columns(rows, width)


def _advice_lines(advice: Sequence[Mapping[str, Any]]) -> list[str]:
    return [line for each in advice for line in (f"{each['topic']}: {each['proposal']}", f"  {each['reason']}")]


def _number(values: Mapping[str, float] | None, at: str) -> str:
    if values is None:
        return "-"
    value = values[at]
    return f"{value:.1f}" if value < 10 and value != int(value) else f"{value:.0f}"
