"""Create the metadata of a model: its config, classes, windows and preprocessing, as written to a model file."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

import rotated_atss
from rotated_atss import __version__
from rotated_atss.checkpoints.config_text import format_config_text
from rotated_atss.checkpoints.model_info import (
    WHOLE_IMAGE,
    ModelInfo,
    Preprocessing,
    Thresholds,
    TrainingData,
    Window,
)
from rotated_atss.detection.engine.config import find_test_dataset
from rotated_atss.errors import UserError, quote
from rotated_atss.io.pixel_options import AUTO, PixelOptions
from rotated_atss.tiling.predict import Tiling
from rotated_atss.tiling.split_settings import default_gap

# Config keys that describe a run or published results (``published``) and not the model. They are left out of the
# config in the metadata.
_RUN_KEYS = ("work_dir", "load_from", "resume", "launcher", "randomness", "config_name", "published", "on_bad_image")
# Steps of a test pipeline that the metadata can describe: those that do not change the pixels, and those that resize.
_NONPIXEL_STEPS = ("LoadBoxes", "LoadAnnotations", "PackSample", "PackDetInputs")
_RESIZING_STEPS = ("ResizeImage", "Resize")


def describe_model(
    cfg: Config,
    model: nn.Module,
    classes: Sequence[str],
    *,
    window: Window,
    training_data: TrainingData | None = None,
    pixels: PixelOptions | None = None,
    ground_resolution: float | None = None,
    origin: str | None = None,
) -> ModelInfo:
    """Create the metadata of a model.

    Args:
        cfg: Config of the model.
        model: The detector without wrappers; its weights may be on the meta device.
        classes: Class names in the order of the class indices.
        window: Size and overlap of the windows of prediction.
        training_data: Summary of the training data.
        pixels: How splitting converted the pixels of the training images. Settings of the config take precedence.
        ground_resolution: Meters per pixel of the training images. The config's ``ground_resolution`` takes precedence.
        origin: Source of the weights if they are converted.

    Raises:
        UserError: The metadata cannot describe the config's test pipeline or model.

    Example:
        >>> from rotated_atss.detection.engine.config import build_model, load_config
        >>> cfg = load_config("rotated_atss_obb_r18_demo_le90")
        >>> info = describe_model(cfg, build_model(cfg), ["plane", "ship"], window=Window(256, 64))
        >>> info.box_type, info.angle_version, info.preprocessing.channel_order, info.thresholds.nms_iou
        ('obb', 'le90', 'RGB', 0.1)
    """
    coder = _output_coder(model)
    return ModelInfo(
        config_name=cfg.get("config_name") or Path(cfg.filename or "model").stem,
        config=_format_config(cfg),
        classes=tuple(classes),
        box_type="obb" if coder.encode_size == 5 else "hbb",
        angle_version=getattr(coder, "angle_version", None),
        window=window,
        preprocessing=_describe_preprocessing(cfg, pixels or PixelOptions()),
        thresholds=_describe_thresholds(cfg),
        ground_resolution=cfg.get("ground_resolution", ground_resolution),
        training_data=training_data,
        origin=origin,
        package_version=__version__,
        commit=_find_commit(),
    )


def default_window(cfg: Config) -> Window:
    """Return the windows of prediction that fit the test pipeline of a config.

    For DOTA, the windows are squares of the size that the pipeline resizes to, as in the published results, or of
    1024 px if it does not resize. If the width and height of the resize differ, the window is the whole image. For
    other datasets, the window is always the whole image.

    Example:
        >>> pipeline = [dict(type="LoadTile"), dict(type="Resize", scale=(800, 800), keep_ratio=True)]
        >>> default_window(Config(dict(test_dataloader=dict(dataset=dict(type="DOTADataset", pipeline=pipeline)))))
        Window(size=800, gap=156)
    """
    dataset = find_test_dataset(cfg)
    try:
        resize = _find_resize_scale(list(dataset.get("pipeline") or ()))
    except UserError:  # a step that model metadata cannot describe, which does not matter for the window
        resize = None
    if dataset.get("type") != "DOTADataset" or (resize is not None and resize[0] != resize[1]):
        return Window(WHOLE_IMAGE, 0)
    size = Tiling.size if resize is None else resize[0]
    return Window(size, default_gap(size))


def merge_iou_threshold(cfg: Config) -> float:
    """Return the IoU threshold for merging windows: that of the config's metric, else of its NMS, else the default.

    Example:
        >>> merge_iou_threshold(Config(dict(test_evaluator=dict(iou_threshold=0.2))))
        0.2
    """
    evaluator = cfg.get("test_evaluator") or {}
    if isinstance(evaluator, dict) and "iou_threshold" in evaluator:
        return float(evaluator["iou_threshold"])
    nms = ((cfg.get("model") or {}).get("test_cfg") or {}).get("nms") or {}
    return float(nms.get("iou_threshold", Tiling.iou_threshold))


def _output_coder(model: nn.Module) -> Any:
    """Return the box coder of the last stage, which decodes the boxes that the model outputs."""
    coders = [module.bbox_coder for module in model.modules() if hasattr(module, "bbox_coder")]
    if not coders:
        raise UserError("the model has no box coder")
    return coders[-1]


def _format_config(cfg: Config) -> str | None:
    """Return the config as text; None if it contains values that are not plain data."""
    values = {name: value for name, value in cfg.to_dict().items() if name not in _RUN_KEYS}
    try:
        return format_config_text(values)
    except UserError:
        return None


def _describe_preprocessing(cfg: Config, pixels: PixelOptions) -> Preprocessing:
    settings = cfg.model.get("data_preprocessor") or {}
    if settings.get("pad_value"):
        raise UserError(f"data_preprocessor.pad_value must be 0, got {settings['pad_value']}")
    # Images are loaded as BGR, and each of these settings swaps the first and the last channel.
    is_rgb = bool(settings.get("bgr_to_rgb") or settings.get("rgb_to_bgr"))
    steps = list(find_test_dataset(cfg).get("pipeline") or ())
    return Preprocessing(
        mean=settings.get("mean") or (0.0,) * 3,
        std=settings.get("std") or (1.0,) * 3,
        channel_order="RGB" if is_rgb else "BGR",
        pad_divisor=settings.get("pad_size_divisor", 1),
        resize=_find_resize_scale(steps),
        **asdict(merge_pixel_options(steps[0] if steps else {}, pixels)),
    )


def merge_pixel_options(loading_step: Mapping[str, Any], recorded: PixelOptions) -> PixelOptions:
    """Return the recorded pixel conversion, overridden by the options that a pipeline's loading step sets.

    Example:
        >>> merge_pixel_options({"type": "LoadTile", "bits": 11}, PixelOptions(bands=(3, 2, 1)))
        PixelOptions(bits=11, scaling='auto', bands=(3, 2, 1))
    """
    names = ("bits", "scaling", "bands")
    configured = {name: loading_step[name] for name in names if loading_step.get(name) not in (None, AUTO)}
    return PixelOptions.of(**{**asdict(recorded), **configured})


def _find_resize_scale(steps: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """Return the scale, two bounds in pixels, to which a test pipeline resizes images; None if it does not resize.

    Raises:
        UserError: The pipeline, after its loading step, has a step that the metadata cannot describe.
    """
    resize = None  # a single resize that keeps the aspect ratio can be described; any other one is an error
    for step in steps[1:]:
        step_type = step["type"].rpartition(".")[2]  # without the scope of a registry
        if step_type in _RESIZING_STEPS and step.get("scale_factor") == 1.0:  # keeps the size
            continue
        if step_type in _RESIZING_STEPS and step.get("keep_ratio") and step.get("scale") and resize is None:
            scale = step["scale"]
            resize = (scale, scale) if isinstance(scale, int) else tuple(scale)
        elif step_type not in _NONPIXEL_STEPS:
            raise UserError(f"model metadata cannot describe the step {quote(dict(step))} of the test pipeline")
    return resize


def _describe_thresholds(cfg: Config) -> Thresholds:
    test_cfg: dict[str, Any] = cfg.model.get("test_cfg") or {}
    nms: dict[str, Any] = test_cfg.get("nms") or {}
    if "iou_threshold" not in nms:
        raise UserError("model.test_cfg has no nms.iou_threshold")
    if "max_per_img" not in test_cfg:
        raise UserError("model.test_cfg has no max_per_img")
    return Thresholds(
        score=max(0.0, test_cfg.get("score_thr", 0.0)),  # scores are at least 0: a negative threshold acts like 0
        nms_iou=nms["iou_threshold"],
        nms_pre=max(0, test_cfg.get("nms_pre", 0)),  # in configs, 0 and -1 both mean no limit
        max_per_image=test_cfg["max_per_img"],
        merge_iou=merge_iou_threshold(cfg),
        min_box_size=max(0.0, test_cfg.get("min_bbox_size", 0.0)),
    )


def _find_commit() -> str | None:
    """Return the commit of the working copy that the package is imported from; None for an installed package.

    It ends in ``-dirty`` if files differ from that commit.
    """
    root = Path(rotated_atss.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        # --exclude=*: the hash even if the commit has a tag
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        completed = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip() or None
