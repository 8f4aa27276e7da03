"""Create the model metadata that is written to a model file: config, classes, windows and preprocessing."""

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

# Config keys that do not describe the model. ``published`` describes published results, the other keys describe a run.
# The config in the metadata does not contain them.
_RUN_KEYS = ("work_dir", "load_from", "resume", "launcher", "randomness", "config_name", "published", "on_bad_image")
# After its loading step, a test pipeline that the metadata can describe has only steps of these types: steps that do
# not change the pixels, and steps that resize.
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
        model: The detector without wrappers. Its weights are not read, so they may be on the meta device.
        classes: Class names in the order of the class indices.
        window: Size and overlap of the windows in prediction.
        training_data: Summary of the training data.
        pixels: How splitting converted the pixels of the training images. Settings of the config take precedence.
        ground_resolution: Meters per pixel of the training images. The config's ``ground_resolution`` takes precedence.
        origin: Where the weights were converted from; None if they are not converted.

    Raises:
        UserError: The config has a model or test pipeline that the metadata cannot describe.

    Example:
        >>> from rotated_atss.detection.engine.config import build_model, load_config
        >>> cfg = load_config("rotated_atss_obb_r18_demo_le90")
        >>> info = describe_model(cfg, build_model(cfg), ["plane", "ship"], window=Window(256, 64))
        >>> info.box_type, info.angle_version
        ('obb', 'le90')
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
    """Return the windows in prediction that fit the test pipeline of a config.

    For a dataset other than DOTA, the window is the whole image. For DOTA, the windows are squares. If the pipeline
    resizes to a square scale, their side is the side of this scale, as in the published results. If the pipeline does
    not resize, their side is 1024 px. If the scale is not square, the window is the whole image.

    Example:
        >>> pipeline = [dict(type="LoadTile"), dict(type="Resize", scale=(800, 800), keep_ratio=True)]
        >>> dataset = dict(type="DOTADataset", pipeline=pipeline)
        >>> default_window(Config(dict(test_dataloader=dict(dataset=dataset))))
        Window(size=800, gap=156)
    """
    dataset = find_test_dataset(cfg)
    try:
        scale = _find_resize_scale(list(dataset.get("pipeline") or ()))
    except UserError:  # The pipeline has a step that model metadata cannot describe. Prediction is still possible.
        scale = None
    is_square = scale is None or scale[0] == scale[1]
    if dataset.get("type") != "DOTADataset" or not is_square:
        return Window(WHOLE_IMAGE, 0)
    size = Tiling.size if scale is None else scale[0]
    return Window(size, default_gap(size))


def merge_iou_threshold(cfg: Config) -> float:
    """Return the IoU threshold for merging windows.

    It is the threshold of the config's metric. If the metric has none, the threshold of the config's NMS is used, and
    if the NMS has none, the default of :class:`rotated_atss.tiling.predict.Tiling`.

    Example:
        >>> merge_iou_threshold(Config(dict(test_evaluator=dict(iou_threshold=0.2))))
        0.2
    """
    evaluator = cfg.get("test_evaluator") or {}
    if isinstance(evaluator, dict) and "iou_threshold" in evaluator:
        return float(evaluator["iou_threshold"])
    model = cfg.get("model") or {}
    test_cfg = model.get("test_cfg") or {}
    nms = test_cfg.get("nms") or {}
    return float(nms.get("iou_threshold", Tiling.iou_threshold))


def _output_coder(model: nn.Module) -> Any:
    """Return the box coder of the last stage, which decodes the boxes that the model outputs."""
    coders = [module.bbox_coder for module in model.modules() if hasattr(module, "bbox_coder")]
    if not coders:
        raise UserError("the model has no box coder")
    return coders[-1]


def _format_config(cfg: Config) -> str | None:
    """Return the config as text; None if the config contains values that are not plain data."""
    values = {name: value for name, value in cfg.to_dict().items() if name not in _RUN_KEYS}
    try:
        return format_config_text(values)
    except UserError:
        return None


def _describe_preprocessing(cfg: Config, pixels: PixelOptions) -> Preprocessing:
    settings = cfg.model.get("data_preprocessor") or {}
    if settings.get("pad_value"):
        raise UserError(f"data_preprocessor.pad_value must be 0, got {settings['pad_value']}")
    # Images are loaded as BGR. Either setting swaps the first and the last channel, whichever order its name suggests.
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
    """Return the scale to which a test pipeline resizes images; None if the pipeline does not resize.

    The scale contains the upper bounds of the resized image's sides in pixels.

    Raises:
        UserError: After its loading step, the pipeline has a step that model metadata cannot describe. This includes a
            second resize, and a resize that does not keep the aspect ratio.
    """
    resize_scale = None
    for step in steps[1:]:
        step_type = step["type"].rpartition(".")[2]  # "Resize" for "mmdet.Resize"
        is_resize = step_type in _RESIZING_STEPS
        if is_resize and step.get("scale_factor") == 1.0:  # this step does not change the size
            continue
        if is_resize and step.get("keep_ratio") and step.get("scale") and resize_scale is None:
            scale = step["scale"]
            resize_scale = (scale, scale) if isinstance(scale, int) else tuple(scale)
        elif step_type not in _NONPIXEL_STEPS:
            raise UserError(f"model metadata cannot describe the step {quote(dict(step))} of the test pipeline")
    return resize_scale


def _describe_thresholds(cfg: Config) -> Thresholds:
    test_cfg: dict[str, Any] = cfg.model.get("test_cfg") or {}
    nms: dict[str, Any] = test_cfg.get("nms") or {}
    if "iou_threshold" not in nms:
        raise UserError("model.test_cfg has no nms.iou_threshold")
    if "max_per_img" not in test_cfg:
        raise UserError("model.test_cfg has no max_per_img")
    return Thresholds(
        score=max(0.0, test_cfg.get("score_thr", 0.0)),  # a negative threshold acts like 0, as scores are at least 0
        nms_iou=nms["iou_threshold"],
        nms_pre=max(0, test_cfg.get("nms_pre", 0)),  # in configs, 0 and -1 both mean no limit
        max_per_image=test_cfg["max_per_img"],
        merge_iou=merge_iou_threshold(cfg),
        min_box_size=max(0.0, test_cfg.get("min_bbox_size", 0.0)),
    )


def _find_commit() -> str | None:
    """Return the commit of the git clone from which the package is imported; None if it is not imported from a clone.

    The result ends in ``-dirty`` if files differ from the commit.
    """
    root = Path(rotated_atss.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        # --exclude=* ignores tags, so the command prints the commit's hash even if the commit has a tag.
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        completed = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip() or None
