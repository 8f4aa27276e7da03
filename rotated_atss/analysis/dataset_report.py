"""Compute the report of a dataset: statistics, planned tiles, anchor scales and recommendations."""

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
    """Counts of a planned split of N objects into T tiles, computed without writing the tiles."""

    @property
    def objects_per_tile(self) -> NDArray[np.int64]:
        """Number of objects in each tile, (T,)."""

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Whether each object is cut, (N,). An object is cut if no tile contains the whole object."""

    @property
    def in_no_tile(self) -> NDArray[np.bool_]:
        """Whether each object is missing from the labels of all tiles, (N,)."""


def report_dataset(
    objects: DatasetObjects,
    count_tiles: Callable[[TilePlan], PlannedTiles] | None,
    *,
    current: TilePlan | None = None,
    anchor_scale: float = 4.0,
    input_wh: tuple[int, int] | None = None,
    max_per_img: int = 2000,
) -> dict[str, Any]:
    """Compute the statistics of a dataset, and recommend settings for training on it.

    Args:
        objects: Images and objects.
        count_tiles: Function that counts the tiles and the cut objects of a split; None if the images need no split,
            for example because they are tiles.
        current: If the images are tiles, the windows from which they were cut; None if the images are not tiles, or if
            the windows are unknown.
        anchor_scale: Anchor scale of the configs.
        input_wh: Width and height into which the config resizes images, keeping the aspect ratio; None if it does not
            resize them.
        max_per_img: Limit of the detections per image, ``test_cfg.max_per_img`` of the configs.

    Returns:
        The report of :func:`rotated_atss.analysis.dataset_statistics.summarize_dataset`, extended by the entries below.
        If no object has an area, they are empty or None.

        - ``plans``: numbers of tiles and of cut objects, with the default windows and, unless these are also the
          proposed windows, with the proposed windows;
        - ``objects_per_tile``: quantiles for the proposed windows; None if ``count_tiles`` is None;
        - ``anchor_scales``: fits of :func:`rotated_atss.analysis.anchor_scales.fit_anchor_scales`;
        - ``advice``: recommendations.

    Example:
        >>> zero = np.zeros(1, np.int64)
        >>> objects = DatasetObjects(
        ...     image_names=("P1",), image_wh=np.array([[640, 480]]), ground_resolution=np.array([np.nan]),
        ...     image_index=zero, class_index=zero, class_names=("ship",),
        ...     polygons=np.array([[0.0, 0, 32, 0, 32, 8, 0, 8]]), difficult=zero,
        ... )
        >>> report = report_dataset(objects, None)
        >>> [advice["topic"] for advice in report["advice"]]
        ['anchor scale', 'rare classes']
    """
    report = summarize_dataset(objects)
    has_area = objects.has_area
    report |= {"plans": [], "objects_per_tile": None, "anchor_scales": [], "advice": []}
    if not has_area.any():
        return report
    plan = choose_tile_plan(objects.size[has_area], objects.extent[has_area])
    advice: list[Advice | None] = []
    if current is not None:
        advice.append(advise_on_current_tiles(report, current, plan))
    if count_tiles is not None:
        default = TilePlan()
        counts_by_plan = {default: count_tiles(default)}
        if plan != default:
            counts_by_plan[plan] = count_tiles(plan)
        _add_plans(report, counts_by_plan, plan, has_area)
        advice += _advise_on_plan(report, objects, plan)
    input_scale = resize_factors(objects.image_wh, input_wh)[objects.image_index[has_area]]
    if count_tiles is not None:
        # Splitting scales the images, too. If the plan has several rates, the last one, the highest, suits most
        # objects. The lower rates are only for the largest objects.
        input_scale = input_scale * plan.rates[-1]
    fits = fit_anchor_scales(_scale_boxes(objects.boxes[has_area], input_scale), sorted({*SCALES, anchor_scale}))
    report["anchor_scales"] = [fit.to_json() for fit in fits]
    advice.append(advise_on_anchor_scale(fits, anchor_scale))
    advice.append(advise_on_density(report["objects_per_tile"] or report["objects_per_image"], max_per_img))
    advice += advise_on_classes(report["classes"])
    report["advice"] = [item.to_json() for item in advice if item is not None]
    return report


def resize_factors(image_wh: NDArray[np.int64], input_wh: Sequence[int] | None) -> NDArray[np.float64]:
    """Compute the factor by which MMCV's ``Resize`` with ``keep_ratio=True`` resizes each image.

    Args:
        image_wh: (M, 2) width and height of the images; 0 if unknown.
        input_wh: ``scale`` of ``Resize``. Its longer side limits the longer side of an image, and its shorter side
            limits the shorter side of an image. None if images are not resized.

    Returns:
        (M,) factors; 1 for images of unknown size.

    Example:
        >>> resize_factors(np.array([[640, 480], [400, 800]]), (1333, 800)).round(3).tolist()
        [1.667, 1.666]
    """
    if input_wh is None:
        return np.ones(len(image_wh))
    # sorting puts the shorter side first, in the images and in the limits
    sides = np.sort(image_wh, axis=1).astype(np.float64)
    limits = np.sort(np.array(input_wh, np.float64))
    with np.errstate(divide="ignore"):  # unknown sizes are 0
        factors = (limits / sides).min(axis=1)
    return np.where((image_wh > 0).all(axis=1), factors, 1.0)


def _add_plans(
    report: dict[str, Any],
    counts_by_plan: Mapping[TilePlan, PlannedTiles],
    proposed: TilePlan,
    has_area: NDArray[np.bool_],
) -> None:
    """Add to a report the counts of each plan and, for the proposed plan, the objects per tile."""
    report["plans"] = [_summarize_plan(plan, counts, has_area) for plan, counts in counts_by_plan.items()]
    objects_per_tile = counts_by_plan[proposed].objects_per_tile
    report["objects_per_tile"] = quantiles(objects_per_tile)
    report["groups"]["objects_per_tile"] = count_groups(objects_per_tile, COUNT_EDGES)


def _advise_on_plan(report: Mapping[str, Any], objects: DatasetObjects, plan: TilePlan) -> list[Advice | None]:
    size, extent = objects.size[objects.has_area], objects.extent[objects.has_area]
    shares = {"small": float((size < SMALL_PX).mean()), "large": float((extent > WINDOW_PX / 2).mean())}
    images_fit = fits_whole(objects.image_wh, plan)
    return [
        advise_on_tiles(report, plan, images_fit=images_fit, plans=report["plans"]),
        advise_on_rates(report, shares, plan),
    ]


def _summarize_plan(plan: TilePlan, counts: PlannedTiles, has_area: NDArray[np.bool_]) -> dict[str, Any]:
    num_cut = int((counts.cut & has_area).sum())
    return {
        **plan.to_json(),
        "tiles": len(counts.objects_per_tile),
        "tiles_without_objects": int((counts.objects_per_tile == 0).sum()),
        "objects_per_tile": quantiles(counts.objects_per_tile),
        "cut": num_cut,
        "cut_share": num_cut / int(has_area.sum()),
        "in_no_tile": int((counts.in_no_tile & has_area).sum()),
    }


def _scale_boxes(boxes: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale (N, 5) oriented boxes by (N,) factors, one per box. The angles do not change."""
    return np.concatenate((boxes[:, :4] * factors[:, None], boxes[:, 4:]), axis=1)
