"""Load detectors for :func:`rotated_atss.tiling.predict.predict_image` from a config and a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from torch import Tensor, nn

from rotated_atss.checkpoints.compatibility import differing_class_layers, recorded_classes
from rotated_atss.checkpoints.model_info import WHOLE_IMAGE, ModelInfo, read_info
from rotated_atss.checkpoints.read_file import state_dict_of
from rotated_atss.detection.engine.checkpoint_io import load_weights, read_checkpoint
from rotated_atss.detection.engine.class_names import find_class_names, set_classes
from rotated_atss.detection.engine.config import build_model, find_test_dataset, require_keys
from rotated_atss.detection.engine.device import resolve_device
from rotated_atss.detection.engine.model_metadata import default_window, merge_iou_threshold, merge_pixel_options
from rotated_atss.detection.engine.network import has_fast_bfloat16, num_classes, store_channels_last
from rotated_atss.detection.engine.recorded_config import resolve_config
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.cpu_threads import update_threads
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.io.png import Image
from rotated_atss.tiling.predict import Tiling

_CLASS_COUNT_HINT = (
    "if the number of classes is different, set model.bbox_head.num_classes and test_dataloader.dataset.classes with"
    " --cfg-options"
)
_OUT_OF_MEMORY_PHRASES = ("out of memory", "can't allocate memory", "not enough memory")


class LoadedDetector:
    """Detector for batches of tiles; implements :class:`rotated_atss.tiling.predict.Detector`.

    Instances are usually created by :func:`load_detector`.

    Args:
        model: A detector of MMDetection.
        pipeline: Test pipeline without its loading step. Its input is a dict with the pixels ``img`` and ``img_id``.
        classes: Class names in the order of the class indices.
        size: Default window side of ``predict_image`` in pixels; 0 for the whole image.
        gap: Default overlap of windows in pixels. None derives it from the window side.
        iou_threshold: Default IoU threshold for merging windows.
        amp: Run the network in bfloat16, on devices that compute it natively (:func:`has_fast_bfloat16`).
        channels_last: Store the weights channels last (:func:`store_channels_last`).
        pixels: How the pixels of images are converted to 8 bits; None for an automatic conversion.
        info: Model metadata of the loaded file; None if the file has none.
    """

    def __init__(
        self,
        model: nn.Module,
        pipeline: Callable[[dict], dict],
        classes: Sequence[str],
        *,
        size: int = Tiling.size,
        gap: int | None = None,
        iou_threshold: float = Tiling.iou_threshold,
        amp: bool = False,
        channels_last: bool = False,
        pixels: PixelOptions | None = None,
        info: ModelInfo | None = None,
    ) -> None:
        if channels_last:
            store_channels_last(model)
        self.model: Any = model.eval()  # Any, because nn.Module does not declare MMEngine's test_step
        self.pipeline, self.classes, self.amp = pipeline, tuple(classes), amp
        self.size, self.gap, self.iou_threshold, self.info = size, gap, iou_threshold, info
        self.pixels = PixelOptions() if pixels is None else pixels

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return next(self.model.parameters()).device

    def __call__(self, tiles: list[Image]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Detect objects on a batch of tiles.

        Args:
            tiles: Images (H, W, 3), uint8, BGR.

        Returns:
            Per tile: boxes (K, 5) or (K, 4) in pixels of the tile, scores (K,) and class indices (K,).

        Raises:
            UserError: The device has too little memory.
        """
        threads_message = update_threads()
        if threads_message:
            print(threads_message, file=sys.stderr)
        batch = pseudo_collate([self.pipeline({"img": tile, "img_id": index}) for index, tile in enumerate(tiles)])
        try:
            uses_bfloat16 = self.amp and has_fast_bfloat16(self.device.type)
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=uses_bfloat16):
                detections = [sample.pred_instances for sample in self.model.test_step(batch)]
        except (RuntimeError, MemoryError) as error:
            message = str(error).lower()
            # torch reports too little memory as a RuntimeError that only its message distinguishes from other errors
            if not isinstance(error, MemoryError) and not any(phrase in message for phrase in _OUT_OF_MEMORY_PHRASES):
                raise
            what = f"out of memory with {count_of(len(tiles), 'tile')} per batch on {self.device}"
            raise UserError(what, hint="use a smaller batch (--batch), or smaller windows (--size)") from error
        return [(get_box_tensor(instances.bboxes), instances.scores, instances.labels) for instances in detections]


def load_detector(
    config: str | Path,
    checkpoint: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    amp: bool = False,
    channels_last: bool | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> LoadedDetector:
    """Load a detector from a model file, or from a config and a checkpoint.

    The config's test pipeline, without its loading step, is applied to tiles. The default windows and the pixel
    conversion are read from the model metadata. If the checkpoint has no metadata, they are derived from the config
    (:func:`rotated_atss.detection.engine.model_metadata.default_window`). Settings of ``LoadTile`` in the config take
    precedence over a recorded pixel conversion.

    Args:
        config: If ``checkpoint`` is given, path or name of a config. Otherwise, path of a model file, as written by
            training and conversion.
        checkpoint: Weights of the config's model, ``.pth`` or ``.safetensors``; None if ``config`` is a model file.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...; None for CUDA if a GPU is available, otherwise the CPU.
        amp: Run the network in bfloat16; decoding and NMS stay in float32.
        channels_last: Store the weights channels last, which makes convolutions faster on many machines. None for True
            if the config has a ``ChannelsLastHook``, otherwise False.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: The config, checkpoint or device does not exist; the weights do not fit the config's model; the
            checkpoint contradicts the config; or ``checkpoint`` is None and the file has no model metadata.

    Example::

        # If the checkpoint is a model file, load_detector(checkpoint) does the same.
        detector = load_detector(config, checkpoint, device="cpu")
        detections = predict_image(detector, "P0001.png", size=1024, gap=200)
        for polygon, score, label in zip(obb_polygons(detections.boxes), detections.scores, detections.labels):
            print(detector.classes[label], float(score), polygon.tolist())
    """
    torch_device = resolve_device(device)
    loaded = load_model(config, checkpoint, cfg_options)
    cfg, info = loaded.cfg, loaded.info
    pipeline = _build_tile_pipeline(cfg)
    window = default_window(cfg) if info is None else info.window
    # The caller of predict_image can choose another window side. Then windows must overlap, so the gap 0, which is
    # recorded for a model for whole images, must not become the default.
    is_gap_usable = info is not None and window.size != WHOLE_IMAGE
    loading_step = find_test_dataset(cfg)["pipeline"][0]
    recorded_pixels = PixelOptions() if info is None else info.preprocessing.pixels
    return LoadedDetector(
        loaded.model.to(torch_device),
        pipeline,
        loaded.classes,
        size=window.size,
        gap=window.gap if is_gap_usable else None,
        iou_threshold=merge_iou_threshold(cfg),
        amp=amp,
        channels_last=_uses_channels_last(cfg) if channels_last is None else channels_last,
        pixels=merge_pixel_options(loading_step, recorded_pixels),
        info=info,
    )


class LoadedModel(NamedTuple):
    """A model with its weights.

    Attributes:
        cfg: Config of the model.
        model: The detector, on the CPU.
        classes: Class names in the order of the class indices.
        info: Model metadata of the loaded file; None if the file has none.
    """

    cfg: Config
    model: nn.Module
    classes: tuple[str, ...]
    info: ModelInfo | None


def load_model(
    config: str | Path, checkpoint: str | Path | None = None, cfg_options: Mapping[str, Any] | None = None
) -> LoadedModel:
    """Load a model with its weights from a model file, or from a config and a checkpoint.

    Args:
        config: If ``checkpoint`` is given, path or name of a config; otherwise, path of a model file.
        checkpoint: Weights of the config's model, ``.pth`` or ``.safetensors``; None if ``config`` is a model file.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: The config or checkpoint does not exist; the weights do not fit the config's model; the checkpoint
            contradicts the config; or ``checkpoint`` is None and the file has no model metadata.

    Example::

        cfg, model, classes, info = load_model("rotated_atss_obb_r50_fpn_1x_dota_le90", "epoch_12.pth")
    """
    if checkpoint is None:  # the first argument is a model file
        given_config, checkpoint = None, config
    else:
        given_config = config
    content = read_checkpoint(checkpoint)
    info = read_info(content.get("meta"), checkpoint)
    cfg = resolve_config(given_config, info, checkpoint, cfg_options)
    require_keys(cfg, "model")
    state = state_dict_of(content)
    model = build_model(cfg)
    trained_classes = recorded_classes(content) or ()
    class_counts_differ = bool(trained_classes) and len(trained_classes) != num_classes(model)
    # If the checkpoint's class layers have another size, build the model again with the classes of the checkpoint.
    if class_counts_differ and differing_class_layers(model.state_dict(), state):
        set_classes(cfg, trained_classes)
        model = build_model(cfg)
    load_weights(model, state, checkpoint, _CLASS_COUNT_HINT)
    return LoadedModel(cfg, model, tuple(find_class_names(content, cfg, num_classes(model))), info)


def _build_tile_pipeline(cfg: Config) -> Compose:
    """Build a config's test pipeline with pixels in memory as its input; the steps that load labels are removed."""
    steps = list(find_test_dataset(cfg).get("pipeline") or ())
    if not steps or not _loads_image(steps[0]):
        what = "the config has no test pipeline whose first step loads an image"
        raise UserError(what, where=cfg.filename, hint="check test_dataloader")
    first_step = partial(_convert_pixels, dtype=np.float32 if steps[0].get("to_float32") else np.uint8)
    later_steps = [step for step in steps[1:] if not _loads_labels(step)]
    try:
        return Compose([first_step, *later_steps])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"cannot build the test pipeline: {error}", where=cfg.filename) from error


def _convert_pixels(results: dict, dtype: type) -> dict:
    """Convert the image's dtype and add ``img_shape`` and ``ori_shape``, in place of a pipeline's loading step."""
    shape = results["img"].shape[:2]
    return {**results, "img": results["img"].astype(dtype, copy=False), "img_shape": shape, "ori_shape": shape}


def _loads_image(step: dict) -> bool:
    return "Load" in step.get("type", "") and not _loads_labels(step)


def _loads_labels(step: dict) -> bool:
    return any(name in step["type"] for name in ("LoadBoxes", "LoadAnnotations"))


def _uses_channels_last(cfg: Config) -> bool:
    return any(hook["type"] == "ChannelsLastHook" for hook in cfg.get("custom_hooks") or ())
