"""Recommend tiles, rates, anchor scale and limit of detections for a dataset, and report rare classes.

The extent of an object is the longer side of its circumscribed horizontal box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rotated_atss.analysis.anchor_scales import ScaleFit, best_scale
from rotated_atss.analysis.tile_plan import SMALL_PX, WINDOW_PX, TilePlan, describe_rates
from rotated_atss.errors import count_of

FEW_OBJECTS = 20  # a class with fewer objects counts as rare
MAX_NAMED = 10  # a message names this many classes and only counts the others
MIN_IMBALANCE = 50.0  # balancing is recommended if a class has at least this many times as many objects as another one
MIN_IOU_GAIN = 0.05  # another anchor scale is proposed if it raises the median IoU by at least this value


@dataclass(frozen=True)
class Advice:
    """A recommendation.

    Attributes:
        topic: Setting or property of the dataset, such as ``tiles``.
        proposal: Change to make, or setting to keep.
        reason: One sentence.
        numbers: Numbers on which the proposal is based, keyed by their names.
    """

    topic: str
    proposal: str
    reason: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as a dictionary."""
        return asdict(self)


def advise_on_tiles(
    report: Mapping[str, Any], plan: TilePlan, *, images_fit: bool, plans: Sequence[Mapping[str, Any]] = ()
) -> Advice:
    """Recommend tile size and gap.

    Args:
        report: Report of :func:`rotated_atss.analysis.dataset_statistics.summarize_dataset` with at least one object.
        plan: The proposed size, gap and rates of the windows. Splitting writes the content of each window as a tile.
        images_fit: Whether every image fits into one window.
        plans: ``plans`` of :func:`rotated_atss.analysis.dataset_report.report_dataset`, which have numbers of tiles and
            of cut objects: first with the default windows, then with ``plan`` if it differs from the default. If
            ``plans`` is empty, the reason does not mention cut objects.

    Example:
        >>> report = {"extent": {"p99": 312.0}}
        >>> advise_on_tiles(report, TilePlan(gap=350), images_fit=False).proposal
        'split with --size 1024 --gap 350'
    """
    extent_p99 = report["extent"]["p99"]
    numbers = {"extent_p99_px": extent_p99, "covered_px": plan.covered_px, **plan.to_json()}
    if images_fit and plan.rates == (1.0,):
        return Advice("tiles", "keep the images whole", f"Every image fits into a window of {plan.size} px.", numbers)
    # An object with an extent of at most covered_px lies completely in a tile. A plan cannot cover very large objects,
    # because its gap is at most half a window and its number of rates is limited. The extent and covered_px are in
    # pixels of the original image.
    if extent_p99 <= plan.covered_px:
        reason = f"99% of the objects extend over at most {extent_p99:.0f} px, and tiles that overlap by "
        reason += f"{plan.covered_px:.0f} px contain each of them as a whole"
    else:
        reason = f"1% of the objects extend over {extent_p99:.0f} px or more, "
        reason += "which is more than the overlap of any proposed window"
    if plans:
        numbers["planned"] = list(plans)
        default, proposed = plans[0], plans[-1]  # the same entry if the default is proposed
        cut = f"{_percent(default['cut_share'])} of the objects are cut with the default windows"
        if len(plans) > 1:
            cut += f" ({default['tiles']} tiles), "
            cut += f"{_percent(proposed['cut_share'])} with the proposed ones ({proposed['tiles']} tiles)"
        reason += f"; {cut}"
    return Advice("tiles", f"split with {plan.options}", f"{reason}.", numbers)


def advise_on_current_tiles(report: Mapping[str, Any], current: TilePlan, plan: TilePlan) -> Advice:
    """Recommend keeping the tiles of a split, or splitting again with another gap.

    Args:
        report: Report of the tiles. The labels of truncated objects must contain the whole polygons; otherwise, their
            extents are too short.
        current: The size and gap of the windows from which the tiles were cut.
        plan: The proposed size, gap and rates of the windows.

    Example:
        >>> report = {"extent": {"p99": 312.0}, "objects": {"count": 100, "truncated": 7}}
        >>> advise_on_current_tiles(report, TilePlan(), TilePlan(gap=350)).proposal
        'split again with --size 1024 --gap 350'
    """
    extent_p99, counts = report["extent"]["p99"], report["objects"]
    # An object whose extent is at most the gap lies completely in one of the tiles. Extent and gap are in pixels of the
    # tiles.
    gap_suffices = extent_p99 <= current.gap
    verb = "covers" if gap_suffices else "does not cover"
    truncated_share = _percent(counts["truncated"] / counts["count"])
    reason = f"99% of the objects extend over at most {extent_p99:.0f} px, which the gap of {current.gap} px {verb}, "
    reason += f"and {truncated_share} of the objects in the tiles are truncated."
    proposal = f"keep the tiles of {current.size} px" if gap_suffices else f"split again with {plan.options}"
    numbers = {"extent_p99_px": extent_p99, **current.to_json(), "truncated": counts["truncated"]}
    return Advice("tiles", proposal, reason, numbers)


def advise_on_rates(report: Mapping[str, Any], shares: Mapping[str, float], plan: TilePlan) -> Advice | None:
    """Recommend rescaling the images by the rates of a plan before splitting, and give the reason.

    Args:
        report: Report of the dataset, as in :func:`advise_on_tiles`.
        shares: Share of objects smaller than 16 px (``small``) and of objects that extend over more than half a window
            (``large``).
        plan: The proposed size, gap and rates of the windows.

    Returns:
        The recommendation; None if the plan has only the original scale.

    Example:
        >>> report = {"size": {"median": 9.0}, "extent": {"median": 12.0}}
        >>> advise_on_rates(report, {"small": 0.9, "large": 0.0}, TilePlan(rates=(2.0,))).proposal
        'enlarge the images: --rates 2'
    """
    if plan.rates == (1.0,):
        return None
    numbers = {**shares, "median_size_px": report["size"]["median"], "median_extent_px": report["extent"]["median"]}
    option = f"--rates {describe_rates(plan.rates).replace(',', '')}"  # the option takes rates separated by spaces
    if max(plan.rates) > 1:
        reason = f"{_percent(shares['small'])} of the objects are smaller than {SMALL_PX} px"
        reason += ", and the priors of the finest level are 8 px apart."
        return Advice("rates", f"enlarge the images: {option}", reason, numbers)
    reason = f"{_percent(shares['large'])} of the objects extend over more than half a window of {WINDOW_PX} px"
    if max(plan.rates) < 1:
        return Advice("rates", f"reduce the images: {option}", f"{reason}.", numbers)
    # Here the highest rate is 1, and the plan has lower rates for the large objects.
    reason += ", and the tiles of the reduced images contain these objects as a whole."
    return Advice("rates", f"split at several scales: {option}", reason, numbers)


def advise_on_anchor_scale(fits: Sequence[ScaleFit], default: float) -> Advice | None:
    """Recommend the anchor scale whose square priors fit the objects best.

    Args:
        fits: Result of :func:`rotated_atss.analysis.anchor_scales.fit_anchor_scales`, for several scales that include
            the default.
        default: Anchor scale of the configs.

    Returns:
        The recommendation; None if there are no fits because the dataset has no objects.

    Example:
        >>> fits = [ScaleFit(2, 0.7, 0.7, 0.9), ScaleFit(4, 0.5, 0.5, 0.5)]
        >>> advise_on_anchor_scale(fits, default=4).proposal
        'set model.bbox_head.anchor_generator.octave_base_scale=2'
    """
    if not fits:
        return None
    best = best_scale(fits)
    current = next(fit for fit in fits if fit.scale == default)
    numbers = {"median_iou": {f"{fit.scale:g}": fit.median_iou for fit in fits}}
    reason = f"Of the anchor scales that were compared, {best.scale:g} fits the objects best: the median of the "
    reason += f"highest IoU of an object with a prior is {best.median_iou:.2f}"
    if best.scale != default:
        reason += f", and {current.median_iou:.2f} at the scale {default:g} of the configs"
    if best.median_iou - current.median_iou < MIN_IOU_GAIN:
        return Advice("anchor scale", f"keep {default:g}", f"{reason}.", numbers)
    option = f"set model.bbox_head.anchor_generator.octave_base_scale={best.scale:g}"
    return Advice("anchor scale", option, f"{reason}.", numbers)


def advise_on_classes(classes: Sequence[Mapping[str, Any]]) -> list[Advice]:
    """Recommend changes if classes are rare, or if some classes have many more objects than others.

    Args:
        classes: ``classes`` of the report of :func:`rotated_atss.analysis.dataset_statistics.summarize_dataset`.

    Example:
        >>> classes = [{"name": "ship", "objects": 900}, {"name": "helicopter", "objects": 3}]
        >>> [advice.topic for advice in advise_on_classes(classes)]
        ['rare classes', 'class balance']
    """
    advice = []
    rare = {row["name"]: row["objects"] for row in classes if row["objects"] < FEW_OBJECTS}
    if rare:
        named = list(rare.items())[:MAX_NAMED]
        listed = ", ".join(f"{name} ({number})" for name, number in named)
        listed += f" and {len(rare) - MAX_NAMED} more" if len(rare) > MAX_NAMED else ""
        verb = "has" if len(rare) == 1 else "have"
        reason = f"{len(rare)} of {count_of(len(classes), 'class')} {verb} fewer than {FEW_OBJECTS} objects: {listed}."
        advice.append(Advice("rare classes", "label more objects, or merge or drop these classes", reason, rare))
    counts = {row["name"]: row["objects"] for row in classes if row["objects"]}
    ratio = max(counts.values()) / min(counts.values()) if counts else 1.0
    if ratio >= MIN_IMBALANCE:
        most_frequent, rarest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        reason = f"{most_frequent} has {ratio:.0f} times as many objects as {rarest}."
        numbers = {name: counts[name] for name in (most_frequent, rarest)}
        advice.append(Advice("class balance", "repeat tiles of rare classes (ClassBalancedDataset)", reason, numbers))
    return advice


def advise_on_density(objects_per_input: Mapping[str, float], max_per_img: int) -> Advice | None:
    """Recommend a higher limit of detections if it is less than twice the number of objects in a network input.

    Args:
        objects_per_input: Quantiles of the number of objects per network input (image or tile). Only ``max`` is used.
        max_per_img: The limit of detections per network input, ``test_cfg.max_per_img`` of the configs.

    Returns:
        The recommendation; None if the limit is sufficient.

    Example:
        >>> advise_on_density({"max": 2600.0}, max_per_img=2000).proposal
        'set model.test_cfg.max_per_img=5200 and nms_pre=5200'
    """
    # The limit should be twice the number of objects, because false positives can have higher scores than objects. The
    # number of candidates per level, nms_pre, must not be lower, because all objects can be on the same level.
    max_objects = int(objects_per_input["max"])
    if max_objects <= max_per_img / 2:
        return None
    proposal = f"set model.test_cfg.max_per_img={2 * max_objects} and nms_pre={2 * max_objects}"
    reason = f"An input of the network has {max_objects} objects, and the configs return at most {max_per_img} "
    reason += "detections."
    return Advice("density", proposal, reason, {"max_objects": max_objects, "max_per_img": max_per_img})


def _percent(share: float) -> str:
    # small shares get more decimals, so that they do not appear as 0
    if share == 0 or share >= 0.1:
        return f"{100 * share:.0f}%"
    return f"{100 * share:.1f}%" if share >= 0.001 else f"{100 * share:.3f}%"
