"""Format the report of :func:`rotated_atss.analysis.dataset_report.report_dataset` as text tables and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rotated_atss.analysis.dataset_advice import MAX_NAMED
from rotated_atss.analysis.dataset_statistics import QUANTILES
from rotated_atss.analysis.tile_plan import describe_rates
from rotated_atss.errors import count_of
from rotated_atss.io.text_table import fit_columns, format_csv

# The entries of the report that hold quantiles: key, and title of the row in the table.
_QUANTILE_ROWS = (
    ("size", "square root of area, px"),
    ("long_side", "long side, px"),
    ("short_side", "short side, px"),
    ("extent", "extent along x or y, px"),
    ("aspect", "long / short side"),
    ("objects_per_image", "objects per image"),
    ("objects_per_tile", "objects per tile"),
)


def format_dataset(report: Mapping[str, Any], *, images_are_tiles: bool = False, width: int | None = None) -> str:
    """Format the report of a dataset as text.

    Args:
        report: Result of :func:`rotated_atss.analysis.dataset_report.report_dataset`.
        images_are_tiles: Whether the images are tiles. If so, the table says "objects per tile" instead of "objects per
            image".
        width: Maximum number of characters per line of a table; None sets no limit.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.analysis.dataset_objects import DatasetObjects
        >>> from rotated_atss.analysis.dataset_report import report_dataset
        >>> zero = np.zeros(1, np.int64)
        >>> objects = DatasetObjects(
        ...     image_names=("P1",), image_wh=np.array([[640, 480]]), ground_resolution=np.array([np.nan]),
        ...     image_index=zero, class_index=zero, class_names=("ship",),
        ...     polygons=np.array([[0.0, 0, 32, 0, 32, 8, 0, 8]]), difficult=zero,
        ... )
        >>> print(format_dataset(report_dataset(objects, None)).splitlines()[1])
        1 object of 1 class: 0 difficult, 0 truncated, 0 without area, 0 beyond the image
    """
    sections = [
        [_images_line(report["images"]), _objects_line(report), *(f"note: {note}" for note in report["notes"])],
        _class_lines(report["classes"], width),
        _quantile_lines(report, images_are_tiles, width),
        _angle_lines(report["groups"]["angle"], width),
        _plan_lines(report["plans"], width),
        _scale_lines(report["anchor_scales"], width),
        _advice_lines(report["advice"]),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def classes_csv(classes: Sequence[Mapping[str, Any]]) -> bytes:
    """Format the classes of a report as CSV, one row per class; undefined values become empty fields.

    Example:
        >>> row = {"name": "ship", "objects": 0, "share": 0.0, "images": 0, "difficult": 0, "truncated": 0,
        ...        "size": None, "long_side": None, "aspect": None}
        >>> classes_csv([row]).decode().splitlines()[1][:15]
        'ship,0,0.0,0,0,'
    """
    keys = ("objects", "share", "images", "difficult", "truncated")
    statistics = (*QUANTILES, "mean")
    shape_keys = [(shape, statistic) for shape in ("size", "long_side", "aspect") for statistic in statistics]
    header = ["class", *keys, *(f"{shape}_{statistic}" for shape, statistic in shape_keys)]
    rows = []
    for entry in classes:
        shape_values = [None if entry[shape] is None else entry[shape][statistic] for shape, statistic in shape_keys]
        rows.append([entry["name"], *(entry[key] for key in keys), *shape_values])
    return format_csv(header, rows).encode()


def _images_line(images: Mapping[str, Any]) -> str:
    parts = [count_of(images["count"], "image")]
    if images["width"]:
        # The lowest width and the lowest height can come from different images, and so can the highest ones.
        min_wh, max_wh = (f"{images['width'][bound]:.0f} x {images['height'][bound]:.0f}" for bound in ("min", "max"))
        parts.append(f"{min_wh} px" if min_wh == max_wh else f"sides from {min_wh} to {max_wh} px")
        parts.append(f"{images['megapixels']:.1f} megapixels")
    parts.append(f"{images['without_objects']} without objects")
    resolution = images["ground_resolution"]
    if resolution["known"]:
        low, high = (f"{resolution['m_per_px'][bound]:.3g}" for bound in ("min", "max"))
        interval = low if low == high else f"{low} to {high}"
        parts.append(f"{interval} m/px (known for {resolution['known']} of {images['count']})")
    return ", ".join(parts)


def _objects_line(report: Mapping[str, Any]) -> str:
    objects = report["objects"]
    counts = f"{objects['difficult']} difficult, {objects['truncated']} truncated, "
    counts += f"{objects['without_area']} without area, {objects['beyond_image']} beyond the image"
    return f"{count_of(objects['count'], 'object')} of {count_of(len(report['classes']), 'class')}: {counts}"


def _class_lines(classes: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    rows = [["class", "objects", "share", "images", "difficult", "truncated", "size, px (5% median 95%)", "aspect"]]
    for entry in classes:
        if entry["objects"]:
            share = f"{100 * entry['share']:.1f}%"
            counts = [str(entry[key]) for key in ("images", "difficult", "truncated")]
            size = " ".join(f"{_format_quantile(entry['size'], quantile):>5}" for quantile in ("p5", "median", "p95"))
            aspect = _format_quantile(entry["aspect"], "median")
            rows.append([entry["name"], str(entry["objects"]), share, *counts, size, aspect])
    if len(rows) == 1:  # only the header
        return []
    lines = fit_columns(rows, width)
    without_objects = [entry["name"] for entry in classes if not entry["objects"]]
    if without_objects:
        names = ", ".join(without_objects[:MAX_NAMED]) + (", ..." if len(without_objects) > MAX_NAMED else "")
        lines.append(f"{count_of(len(without_objects), 'class')} without objects: {names}")
    return lines


def _quantile_lines(report: Mapping[str, Any], images_are_tiles: bool, width: int | None) -> list[str]:
    rows = [["", "min", "1%", "5%", "median", "95%", "99%", "max"]]
    for key, general_title in _QUANTILE_ROWS:
        if report[key]:
            title = general_title.replace("per image", "per tile") if images_are_tiles else general_title
            rows.append([title, *(_format_quantile(report[key], quantile) for quantile in QUANTILES)])
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
    for plan in plans:
        quantiles = plan["objects_per_tile"]
        per_tile = f"{_format_quantile(quantiles, 'median')} {_format_quantile(quantiles, 'max'):>6}"
        cut = f"{plan['cut']} ({100 * plan['cut_share']:.2f}%)"
        rates = describe_rates(plan["rates"])
        counts = [str(plan["tiles"]), str(plan["tiles_without_objects"])]
        rows.append([f"{plan['size']} px", str(plan["gap"]), rates, *counts, per_tile, cut, str(plan["in_no_tile"])])
    return fit_columns(rows, width)


def _scale_lines(fits: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    if not fits:
        return []
    rows = [["anchor scale", *(f"{fit['scale']:g}" for fit in fits)]]
    rows.append(["median of the highest IoU", *(f"{fit['median_iou']:.2f}" for fit in fits)])
    rows.append(["objects with IoU >= 0.5", *(f"{100 * fit['above_half']:.0f}%" for fit in fits)])
    return fit_columns(rows, width)


def _advice_lines(advice: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for item in advice:
        lines += [f"{item['topic']}: {item['proposal']}", f"  {item['reason']}"]
    return lines


def _format_quantile(quantiles: Mapping[str, float] | None, name: str) -> str:
    """Format one quantile, for example ``median``, or return ``-`` if there are no values."""
    if quantiles is None:
        return "-"
    value = quantiles[name]
    needs_decimal = value < 10 and value != int(value)
    return f"{value:.1f}" if needs_decimal else f"{value:.0f}"
