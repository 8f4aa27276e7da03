"""The report of a dataset: statistics, planned tiles, anchor scales and recommendations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rotated_atss.analysis.anchor_scales import SCALES, fit_anchor_scales
from rotated_atss.analysis.dataset_advice import (
    Advice,
    advise_on_anchor_scale,
    advise_on_classes,
    advise_on_current_tiles,
    advise_on_density,
    advise_on_rates,
    advise_on_tiles,
)
from rotated_atss.analysis.dataset_objects import DatasetObjects
from rotated_atss.analysis.dataset_statistics import COUNT_EDGES, count_groups, quantiles, summarize_dataset
from rotated_atss.analysis.tile_plan import SMALL_PX, WINDOW_PX, TilePlan, choose_tile_plan, fits_whole


class PlannedTiles(Protocol):
    """Counts of a planned split."""

    @property
    def objects_per_tile(self) -> NDArray[np.int64]:
        """Objects of each tile, (T,)."""

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Whether no tile contains the object as a whole, (N,)."""

    @property
    def in_no_tile(self) -> NDArray[np.bool_]:
        """Whether no tile gets the object, (N,)."""


def report_dataset(
    objects: DatasetObjects,
    count_tiles: Callable[[TilePlan], PlannedTiles] | None,
    *,
    current: TilePlan | None = None,
    anchor_scale: float = 4.0,
    input_wh: tuple[int, int] | None = None,
    max_per_img: int = 2000,
) -> dict[str, Any]:
    """Compute statistics and recommendations.

    Args:
        objects: Images and objects.
        count_tiles: Counts the tiles and the cut objects of a split of the images. None if the images are tiles, or are
            not split.
        current: The windows of images that are tiles; None if unknown.
        anchor_scale: Anchor scale of the configs.
        input_wh: Size to which the config resizes images with their aspect ratio kept; None if tiles are not resized.
        max_per_img: Detections per image that the configs return.

    Returns:
        The report of :func:`rotated_atss.analysis.dataset_statistics.summarize_dataset` with ``plans``,
        ``objects_per_tile``, ``anchor_scales`` and ``advice``. These are empty without objects.

    Example:
        >>> index = np.zeros(1, np.int64)
        >>> objects = DatasetObjects(("P1",), np.array([[640, 480]]), np.array([np.nan]), index, index, ("ship",),
        ...                          np.array([[0.0, 0, 32, 0, 32, 8, 0, 8]]), index)
        >>> report = report_dataset(objects, None)
        >>> [advice["topic"] for advice in report["advice"]]
        ['anchor scale', 'rare classes']
    """
    report = summarize_dataset(objects)
    valid = objects.has_area
    report |= {"plans": [], "objects_per_tile": None, "anchor_scales": [], "advice": []}
    if not valid.any():
        return report
    size, extent = objects.size[valid], objects.extent[valid]
    plan = choose_tile_plan(size, extent)
    advice: list[Advice | None] = []
    if current is not None:
        advice.append(advise_on_current_tiles(report, current, plan))
    if count_tiles is not None:
        counts = {each: count_tiles(each) for each in dict.fromkeys((TilePlan(), plan))}
        report["plans"] = [_summarize_plan(each, counts[each], valid) for each in counts]
        per_tile = counts[plan].objects_per_tile
        report["objects_per_tile"] = quantiles(per_tile)
        report["groups"]["objects_per_tile"] = count_groups(per_tile, COUNT_EDGES)
        shares = {"small": float((size < SMALL_PX).mean()), "large": float((extent > WINDOW_PX / 2).mean())}
        whole = fits_whole(objects.image_wh, plan)
        advice += [
            advise_on_tiles(report, plan, whole=whole, planned=report["plans"]),
            advise_on_rates(report, shares, plan),
        ]
    factor = resize_factors(objects.image_wh, input_wh)[objects.image_index[valid]]
    if count_tiles is not None:
        factor = factor * plan.rates[-1]  # the finest rate
    fits = fit_anchor_scales(_scaled(objects.boxes[valid], factor), sorted({*SCALES, anchor_scale}))
    report["anchor_scales"] = [fit.to_json() for fit in fits]
    advice += [advise_on_anchor_scale(fits, anchor_scale), *_advise_on_counts(report, max_per_img)]
    report["advice"] = [each.to_json() for each in advice if each is not None]
    return report


def resize_factors(image_wh: NDArray[np.int64], input_wh: Sequence[int] | None) -> NDArray[np.float64]:
    """Compute the scales at which images are resized to fit into a size, in either orientation.

    Args:
        image_wh: (M, 2) width and height of the images; those of unknown size get 1.
        input_wh: The size, as ``scale`` of MMCV's ``Resize`` with ``keep_ratio=True``; None for no resizing.

    Returns:
        (M,) scales.

    Example:
        >>> resize_factors(np.array([[640, 480], [400, 800]]), (1333, 800)).round(3).tolist()
        [1.667, 1.666]
    """
    if input_wh is None:
        return np.ones(len(image_wh))
    sides = np.sort(image_wh, axis=1).astype(np.float64)
    with np.errstate(divide="ignore"):
        factors = (np.sort(np.array(input_wh, np.float64)) / sides).min(axis=1)
    return np.where((image_wh > 0).all(axis=1), factors, 1.0)


def _summarize_plan(plan: TilePlan, counts: PlannedTiles, valid: NDArray[np.bool_]) -> dict[str, Any]:
    number = int(valid.sum())
    return {
        **plan.to_json(),
        "tiles": len(counts.objects_per_tile),
        "tiles_without_objects": int((counts.objects_per_tile == 0).sum()),
        "objects_per_tile": quantiles(counts.objects_per_tile),
        "cut": int((counts.cut & valid).sum()),
        "cut_share": float((counts.cut & valid).sum() / number),
        "in_no_tile": int((counts.in_no_tile & valid).sum()),
    }


def _scaled(boxes: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate((boxes[:, :4] * factor[:, None], boxes[:, 4:]), axis=1)


def _advise_on_counts(report: Mapping[str, Any], max_per_img: int) -> list[Advice]:
    density = advise_on_density(report["objects_per_tile"] or report["objects_per_image"], max_per_img)
    return [*([] if density is None else [density]), *advise_on_classes(report["classes"])]
