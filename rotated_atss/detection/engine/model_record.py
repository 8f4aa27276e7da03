"""The record of a model, written by training and conversion and read by prediction and testing."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

import rotated_atss
from rotated_atss import __version__
from rotated_atss.checkpoints.compatibility import recorded_classes
from rotated_atss.checkpoints.config_text import format_config_text
from rotated_atss.checkpoints.model_info import (
    KEY,
    WHOLE_IMAGE,
    ModelInfo,
    Preprocessing,
    Thresholds,
    TrainingData,
    Window,
    read_info,
)
from rotated_atss.checkpoints.read_file import state_dict_of
from rotated_atss.checkpoints.settings_check import tuples_to_lists
from rotated_atss.checkpoints.training_summary import summarize_training_data, widen_gap
from rotated_atss.detection.engine.checkpoint_io import check_weights_fit
from rotated_atss.detection.engine.class_names import config_classes, find_class_names, set_classes
from rotated_atss.detection.engine.config import (
    build_model,
    config_from_values,
    find_test_dataset,
    load_config,
    require_keys,
)
from rotated_atss.detection.engine.network import num_classes, unwrap_model
from rotated_atss.dota.tiles import is_tile_name, parse_tile_name
from rotated_atss.errors import UserError, quote
from rotated_atss.io.image_header import read_header
from rotated_atss.tiling.manifest import MANIFEST, Manifest, read_manifest
from rotated_atss.tiling.predict import Tiling
from rotated_atss.tiling.split_settings import default_gap

# Keys of a run, not of a model.
_RUN_KEYS = ("work_dir", "load_from", "resume", "launcher", "randomness", "config_name", "published")
# Parts of a model that give its outputs their meaning.
_COMPARED_KEYS = ("bbox_coder", "anchor_generator", "data_preprocessor")
_TRAINING_KEYS = ("batch_augments", "train_cfg", "init_cfg")
_UNCHANGED_STEPS = ("LoadAnnotations", "PackDetInputs")
_CHECKED_HEADERS = 200


class ModelInfoHook(Hook):
    """Write the record of the model into every checkpoint of a training."""

    def __init__(self) -> None:
        self._text: str | None = None

    def before_train(self, runner: Runner) -> None:
        """Describe the model and its training data. A model that cannot be described is trained without a record."""
        if runner.rank != 0:
            return
        dataset = runner.train_dataloader.dataset
        classes = getattr(dataset, "metainfo", {}).get("classes")
        try:
            if not classes:
                raise UserError("the dataset has no class names")
            data = describe_training_data(dataset, classes)
            window = widen_gap(find_training_window(dataset, runner.cfg), data)
            manifest = _find_manifest(dataset)
            info = describe_model(
                runner.cfg, unwrap_model(runner.model), classes, window=window, training_data=data,
                bits=None if manifest is None else manifest.bits,
            )  # fmt: skip
            self._text = info.to_json()
        except UserError as error:
            runner.logger.warning(f"checkpoints will have no record of the model: {error}")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the record."""
        if self._text is not None:
            checkpoint["meta"][KEY] = self._text


def describe_model(
    cfg: Config,
    model: nn.Module,
    classes: Sequence[str],
    *,
    window: Window,
    training_data: TrainingData | None = None,
    bits: int | None = None,
    origin: str | None = None,
) -> ModelInfo:
    """Describe a model.

    Args:
        cfg: Its config.
        model: The detector without wrappers; on the meta device it suffices.
        classes: Class names in the order of the class indices.
        window: Windows of prediction.
        training_data: Summary of the training data.
        bits: Used bits by which the 16-bit images of the training were split. The config's take precedence.
        origin: Source of converted weights.

    Raises:
        UserError: A record cannot describe the config's test pipeline or model.

    Example:
        >>> from rotated_atss.detection.engine.config import build_model, load_config
        >>> cfg = load_config("rotated_atss_obb_r18_demo_le90")
        >>> info = describe_model(cfg, build_model(cfg), ["ship"] * 0 + ["plane", "ship"], window=Window(256, 64))
        >>> info.box_type, info.angle_version, info.preprocessing.channel_order, info.thresholds.nms_iou
        ('obb', 'le90', 'RGB', 0.1)
    """
    coder = _output_coder(model)
    return ModelInfo(
        config_name=cfg.get("config_name") or Path(cfg.filename or "model").stem,
        config=_config_text(cfg),
        classes=tuple(classes),
        box_type="obb" if coder.encode_size == 5 else "hbb",
        angle_version=getattr(coder, "angle_version", None),
        window=window,
        preprocessing=_describe_preprocessing(cfg, bits),
        thresholds=_describe_thresholds(cfg),
        ground_resolution=cfg.get("ground_resolution"),
        training_data=training_data,
        origin=origin,
        package_version=__version__,
        commit=_commit(),
    )


def describe_checkpoint(config: str | Path, content: Mapping[str, Any], path: str | Path) -> ModelInfo:
    """Return the record of a checkpoint: its own, or one made from a config.

    Args:
        config: Path or name of the model's config.
        content: The checkpoint.
        path: Its file, for errors.

    Raises:
        UserError: The weights do not fit the config, or config and record contradict each other.
    """
    info = read_info(content.get("meta"), path)
    cfg = resolve_config(config, info, path, None)
    if info is not None:
        return info
    require_keys(cfg, "model")
    trained = recorded_classes(content)
    if trained:
        set_classes(cfg, trained)
    with torch.device("meta"):
        model = build_model(cfg)
    check_weights_fit(model, state_dict_of(content), path)
    classes = find_class_names(content, cfg, num_classes(model))
    return describe_model(cfg, model, classes, window=default_window(cfg))


def default_window(cfg: Config) -> Window:
    """Return the windows of a config without a record: those of the published DOTA results, or the whole image.

    Example:
        >>> default_window(Config(dict(test_dataloader=dict(dataset=dict(type="DOTADataset")))))
        Window(size=1024, gap=200)
    """
    if find_test_dataset(cfg).get("type") != "DOTADataset":
        return Window(WHOLE_IMAGE, 0)
    return Window(Tiling.size, default_gap(Tiling.size))


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


def describe_training_data(dataset: Any, classes: Sequence[str]) -> TrainingData:
    """Summarize the boxes of a training set. Ignored objects do not count.

    Args:
        dataset: A dataset of MMEngine, or a wrapper such as ``RepeatDataset``.
        classes: Its class names.

    Raises:
        UserError: The dataset has no records of images and their boxes.
    """
    sides, labels, names = [], [], []
    for part in _innermost(dataset):
        for index in range(len(part)):
            record = part.get_data_info(index)
            names.append(Path(record.get("img_path") or str(index)).stem)
            for instance in record.get("instances", ()):
                if not instance.get("ignore_flag"):
                    box = instance["bbox"]
                    sides.append(box[2:4] if len(box) == 5 else (box[2] - box[0], box[3] - box[1]))
                    labels.append(instance["bbox_label"])
    tiled = all(map(is_tile_name, names))
    images = len({parse_tile_name(name).image_id for name in names}) if tiled else len(names)
    return summarize_training_data(
        np.array(sides, dtype=float).reshape(-1, 2), np.array(labels, dtype=np.int64), classes,
        tiles=len(names), images=images,
    )  # fmt: skip


def find_training_window(dataset: Any, cfg: Config) -> Window:
    """Find the windows that a training set was split with.

    They are those of the manifest of the split. Without a manifest, a DOTA dataset whose images all have the same size
    has windows of that size, if they are square. All else has :func:`default_window`.

    Args:
        dataset: A dataset of MMEngine, or a wrapper such as ``RepeatDataset``.
        cfg: The config.
    """
    parts = list(_innermost(dataset))
    manifest = _find_manifest(dataset)
    if manifest is not None and manifest.window is not None:
        return Window(*manifest.window)
    window = default_window(cfg)
    if window.size != WHOLE_IMAGE and parts:
        sides = _common_sides(parts[0])
        if len(sides) == 1 and min(sides) > 0:
            return Window(min(sides), default_gap(min(sides)))
    return window


def _find_manifest(dataset: Any) -> Manifest | None:
    """Return the manifest of the first split in a dataset; None if there is none."""
    for part in _innermost(dataset):
        root = getattr(part, "data_root", None)
        if root and (Path(root) / MANIFEST).is_file():
            return read_manifest(Path(root) / MANIFEST)
    return None


def _common_sides(dataset: Any) -> set[int]:
    """Return the different side lengths of the first images of a dataset; 0 for an unreadable image."""
    sides: set[int] = set()
    for index in range(min(len(dataset), _CHECKED_HEADERS)):
        header = read_header(dataset.get_data_info(index)["img_path"])
        sides.update((0,) if header is None else (header.width, header.height))
    return sides


def _innermost(dataset: Any) -> Iterator[Any]:
    """Yield the datasets inside wrappers such as ``RepeatDataset`` and ``ConcatDataset``."""
    if isinstance(getattr(dataset, "datasets", None), (list, tuple)):
        for part in dataset.datasets:
            yield from _innermost(part)
    elif hasattr(dataset, "dataset"):
        yield from _innermost(dataset.dataset)
    elif hasattr(dataset, "get_data_info"):
        yield dataset
    else:
        raise UserError(f"{type(dataset).__name__} has no records of its images")


def _output_coder(model: nn.Module) -> Any:
    """Return the box coder of the last stage, whose boxes are the model's output."""
    coders = [module.bbox_coder for module in model.modules() if hasattr(module, "bbox_coder")]
    if not coders:
        raise UserError("the model has no box coder")
    return coders[-1]


def _config_text(cfg: Config) -> str | None:
    values = {name: value for name, value in cfg.to_dict().items() if name not in _RUN_KEYS}
    try:
        return format_config_text(values)
    except UserError:
        return None


def _describe_preprocessing(cfg: Config, bits: int | None) -> Preprocessing:
    settings = cfg.model.get("data_preprocessor") or {}
    if settings.get("pad_value"):
        raise UserError(f"data_preprocessor.pad_value must be 0, got {settings['pad_value']}")
    is_rgb = bool(settings.get("bgr_to_rgb") or settings.get("rgb_to_bgr"))  # the input is BGR, and both exchange
    steps = list(find_test_dataset(cfg).get("pipeline") or ())
    return Preprocessing(
        mean=settings.get("mean") or (0.0,) * 3,
        std=settings.get("std") or (1.0,) * 3,
        channel_order="RGB" if is_rgb else "BGR",
        pad_divisor=settings.get("pad_size_divisor", 1),
        resize=_resize_of(steps),
        bits=(steps[0].get("bits") if steps else None) or bits,
    )


def _resize_of(steps: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """Return the bounds to which the steps of a test pipeline after the loading of the image resize it."""
    resize = None
    for step in steps[1:]:
        kind = step["type"].rpartition(".")[2]
        if kind == "Resize" and step.get("scale_factor") == 1.0:
            continue
        if kind == "Resize" and step.get("keep_ratio") and step.get("scale") and resize is None:
            scale = step["scale"]
            resize = (scale, scale) if isinstance(scale, int) else tuple(scale)
        elif kind not in _UNCHANGED_STEPS:
            raise UserError(f"the record of a model cannot describe the step {quote(dict(step))} of the test pipeline")
    return resize


def _describe_thresholds(cfg: Config) -> Thresholds:
    test_cfg: dict[str, Any] = cfg.model.get("test_cfg") or {}
    nms: dict[str, Any] = test_cfg.get("nms") or {}
    for key, settings in (("nms.iou_threshold", nms), ("max_per_img", test_cfg)):
        if key.rpartition(".")[2] not in settings:
            raise UserError(f"model.test_cfg has no {key}")
    return Thresholds(
        score=max(0.0, test_cfg.get("score_thr", 0.0)),
        nms_iou=nms["iou_threshold"],
        nms_pre=max(0, test_cfg.get("nms_pre", 0)),
        max_per_image=test_cfg["max_per_img"],
        merge_iou=merge_iou_threshold(cfg),
        min_box_size=max(0.0, test_cfg.get("min_bbox_size", 0.0)),
    )


def _commit() -> str | None:
    """Return the commit of the working copy that the package is imported from; None for an installed package.

    It ends in ``-dirty`` if files have been changed since.
    """
    root = Path(rotated_atss.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


# -- reading -----------------------------------------------------------------------------------------------------------


def resolve_config(
    config: str | Path | None, info: ModelInfo | None, checkpoint: str | Path, cfg_options: Mapping[str, Any] | None
) -> Config:
    """Return the config of a model: the given one, or else that of the record in the checkpoint.

    Args:
        config: Path or name; None for the recorded config.
        info: The record of the checkpoint; None if it has none.
        checkpoint: Path of the checkpoint, for errors.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: There is neither a config nor a record, or they contradict each other.
    """
    if config is not None:
        cfg = load_config(config, cfg_options)
        if info is not None:
            check_agreement(cfg, info, checkpoint, cfg_options or ())
            _check_named_classes(cfg, info, checkpoint, cfg_options or ())
        return cfg
    if info is None:
        hint = "name its config: CONFIG CHECKPOINT"
        raise UserError("the checkpoint has no record of its model", where=checkpoint, hint=hint)
    try:
        values = info.config_values()
    except UserError as error:
        raise UserError(error.what, where=checkpoint, hint="name its config: CONFIG CHECKPOINT") from None
    cfg = config_from_values(values, info.config_name, checkpoint, cfg_options)
    _check_named_classes(cfg, info, checkpoint, cfg_options or ())
    return cfg


def _check_named_classes(cfg: Config, info: ModelInfo, checkpoint: object, user_keys: Collection[str]) -> None:
    """Refuse classes that the user names and the model does not have, or has in another order."""
    if any(key.rpartition(".")[2] == "classes" for key in user_keys):
        classes = config_classes(cfg)
        if classes is not None and classes != info.classes:
            what = f"the classes are {', '.join(info.classes)}, got {', '.join(classes)} from --cfg-options"
            raise UserError(what, where=checkpoint, hint="omit them: the checkpoint records its classes")


def check_agreement(cfg: Config, info: ModelInfo, checkpoint: object, user_keys: Collection[str] = ()) -> None:
    """Raise an error if a config gives the outputs of a checkpoint another meaning than its record does.

    Compared are box coders, priors and the normalization of pixels. Weights of another angle version, for example, fit
    the model, but their boxes would be decoded wrongly.

    Args:
        cfg: The config.
        info: The record of the checkpoint.
        checkpoint: Path of the checkpoint, for the error.
        user_keys: Config keys that the user has set, which are not compared.

    Raises:
        UserError: A setting differs.
    """
    require_keys(cfg, "model")
    recorded = {} if info.config is None else dict(_settings(info.config_values().get("model"), "model"))
    for key, value in _settings(cfg.model, "model"):
        if key.endswith(".angle_version"):
            recorded.setdefault(key, info.angle_version)
        if key in recorded and recorded[key] != value and not any(_covers(each, key) for each in user_keys):
            name = cfg.get("config_name") or cfg.filename
            what = f"{key} is {quote(recorded[key])} in the checkpoint, {quote(value)} in the config {name}"
            raise UserError(what, where=checkpoint, hint="omit the config: the checkpoint has a record of its own")


def _covers(user_key: str, key: str) -> bool:
    return key == user_key or key.startswith(f"{user_key}.")


def _settings(value: Any, path: str, compared: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every setting below the compared keys."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in _TRAINING_KEYS:
                yield from _settings(item, f"{path}.{name}", compared or name in _COMPARED_KEYS)
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _settings(item, f"{path}.{index}", compared)
    elif compared and path.endswith(".type") and isinstance(value, str):
        yield path, value.rpartition(".")[2]  # without the scope of a registry
    elif compared:
        yield path, tuples_to_lists(value)
