"""Format model metadata as lines of text."""

from __future__ import annotations

from collections.abc import Mapping

from rotated_atss.checkpoints.model_info import WHOLE_IMAGE, ModelInfo, TrainingData
from rotated_atss.errors import count_of

_UNKNOWN = "unknown"
_SHOWN_QUANTILES = ("0.01", "0.5", "0.99")


def describe_lines(info: ModelInfo) -> list[str]:
    r"""Describe a model, one property per line.

    Args:
        info: The model metadata.

    Returns:
        Lines ``name: value``.

    Example:
        >>> from rotated_atss.checkpoints.model_info import Preprocessing, Thresholds, Window
        >>> lines = describe_lines(
        ...     ModelInfo(
        ...         config_name="demo", classes=("ship",), box_type="obb", angle_version="le90", window=Window(256, 64),
        ...         preprocessing=Preprocessing((0, 0, 0), (255, 255, 255), "RGB", 32),
        ...         thresholds=Thresholds(0.05, 0.1, 2000, 2000, 0.1), package_version="0.1.0",
        ...     )
        ... )
        >>> print("\n".join(lines[:4]))
        config: demo
        classes: 1 (ship)
        boxes: oriented, angle version le90
        windows: 256 px, overlap 64 px
    """
    values = {
        "config": info.config_name,
        "classes": f"{len(info.classes)} ({', '.join(info.classes)})",
        "boxes": f"oriented, angle version {info.angle_version}" if info.box_type == "obb" else "horizontal",
        "windows": _format_windows(info),
        "input": _format_input(info),
        "thresholds": _format_thresholds(info),
        "ground resolution": _UNKNOWN if info.ground_resolution is None else f"{info.ground_resolution:g} m/px",
        "training data": _UNKNOWN if info.training_data is None else _format_training_data(info.training_data),
        "origin": info.origin or "trained with this package",
        "written by": f"rotated-atss {info.package_version}" + (f", commit {info.commit}" if info.commit else ""),
    }
    return [f"{name}: {value}" for name, value in values.items()]


def _format_windows(info: ModelInfo) -> str:
    size, gap = info.window.size, info.window.gap
    return "whole images" if size == WHOLE_IMAGE else f"{size} px, overlap {gap} px"


def _format_input(info: ModelInfo) -> str:
    settings = info.preprocessing
    mean = " ".join(f"{value:g}" for value in settings.mean)
    std = " ".join(f"{value:g}" for value in settings.std)
    parts = [settings.channel_order, f"mean {mean}", f"std {std}"]
    if settings.resize is not None:
        parts.append("scaled to fit {} x {} px".format(*settings.resize))
    parts.append(f"padded to multiples of {settings.pad_divisor} px")
    if settings.bits is not None:
        parts.append(f"16-bit images with {settings.bits} used bits")
    if not isinstance(settings.scaling, str):
        parts.append("values {:g} to {:g} scaled to 0 to 255".format(*settings.scaling))
    if settings.bands is not None:
        parts.append(f"bands {','.join(map(str, settings.bands))}")
    return ", ".join(parts)


def _format_thresholds(info: ModelInfo) -> str:
    values = info.thresholds
    candidates = f"{values.nms_pre} candidates per level" if values.nms_pre else "all candidates"
    detections = f"at most {values.max_per_image} detections per window"
    merging = f"merging IoU {values.merge_iou:g}"
    return f"score {values.score:g}, NMS IoU {values.nms_iou:g}, {candidates}, {detections}, {merging}"


def _format_training_data(data: TrainingData) -> str:
    images = "" if data.images is None else f" of {count_of(data.images, 'image')}"
    counts = ", ".join(f"{name} {number}" for name, number in data.objects.items())
    parts = [f"{count_of(data.tiles, 'tile')}{images}", f"{count_of(sum(data.objects.values()), 'object')} ({counts})"]
    for name, lengths in (("longer", data.longer_side), ("shorter", data.shorter_side)):
        if lengths:
            parts.append(f"{name} side {_format_quantiles(lengths)}")
    return "; ".join(parts)


def _format_quantiles(lengths: Mapping[str, float]) -> str:
    return ", ".join(f"{lengths[key]:g} px (quantile {key})" for key in _SHOWN_QUANTILES if key in lengths)
