"""Load a detector from a config and a checkpoint for :func:`rotated_atss.tiling.predict.predict_image`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from torch import Tensor, nn

from rotated_atss.detection.engine.checkpoint_io import check_fits, read_checkpoint, state_dict_of
from rotated_atss.detection.engine.runner import build_model, load_config
from rotated_atss.dota.classes import resolve_classes
from rotated_atss.errors import UserError
from rotated_atss.io.png import Image
from rotated_atss.tiling.predict import WHOLE_IMAGE, Tiling

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class LoadedDetector:
    """A model that detects on tiles (H, W, 3), uint8, BGR: a :class:`rotated_atss.tiling.predict.Detector`.

    Attributes:
        classes: Names, in the order of the class indices.
        size: What ``predict_image`` cuts by default: 1024 for a model of DOTA's tiles, else 0, the whole image.
        iou_threshold: With which the config merges (``test_evaluator``), or else suppresses (``test_cfg``).
    """

    def __init__(
        self,
        model: nn.Module,
        pipeline: Callable[[dict], dict],
        classes: Sequence[str],
        *,
        size: int = Tiling.size,
        iou_threshold: float = Tiling.iou_threshold,
        amp: bool = False,
        channels_last: bool = False,
    ) -> None:
        self.model = model.eval()
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.pipeline, self.classes, self.amp = pipeline, tuple(classes), amp
        self.size, self.iou_threshold = size, iou_threshold

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def __call__(self, tiles: list[Image]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Boxes (K, 5) or (K, 4) in pixels of the tile, scores (K,) and class indices (K,) of each tile."""
        batch = pseudo_collate([self.pipeline({"img": tile, "img_id": index}) for index, tile in enumerate(tiles)])
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
                found = [sample.pred_instances for sample in self.model.test_step(batch)]
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY):
                what = f"out of memory with {len(tiles)} tiles at a time on {self.device}"
                raise UserError(what, hint="fewer at a time (--batch), or smaller ones (--size)") from error
            raise
        return [(get_box_tensor(each.bboxes), each.scores, each.labels) for each in found]


def load_detector(
    config: str | Path,
    checkpoint: str | Path,
    *,
    device: str | torch.device | None = None,
    amp: bool = False,
    channels_last: bool | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> LoadedDetector:
    """The detector of a config with the weights of a checkpoint.

    Example:
        detector = load_detector(config, checkpoint, device="cpu")
        found = predict_image(detector, "P0001.png", size=1024, gap=200)
        for polygon, score, label in zip(obb_to_poly(found.boxes), found.scores, found.labels):
            print(detector.classes[label], float(score), polygon.tolist())

    Args:
        config: Path or name. Tiles go through its test pipeline after loading.
        checkpoint: Weights of that model, ``.pth`` or ``.safetensors``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; None takes a GPU where there is one.
        amp: The network in bfloat16; decoding and suppression stay in float32.
        channels_last: The memory layout that is faster for convolutions on many machines; None: as the config's hooks
            have it.
        cfg_options: Changes to the config.

    Raises:
        UserError: Config, checkpoint and device that are not there or do not fit each other.
    """
    place = find_device(device)
    content = read_checkpoint(checkpoint)
    cfg = load_config(config, cfg_options)
    if cfg.get("model") is None:
        raise UserError("this config has no model", where=cfg.filename, hint="give the config of a model")
    pipeline = tile_pipeline(cfg)
    model = build_model(cfg)
    state = state_dict_of(content)
    check_fits(model, state, checkpoint)
    model.load_state_dict(state, strict=False)
    return LoadedDetector(
        model.to(place),
        pipeline,
        classes_of(content, cfg, getattr(getattr(model, "bbox_head", model), "num_classes", None)),
        size=Tiling.size if _dataset(cfg).get("type") == "DOTADataset" else WHOLE_IMAGE,
        iou_threshold=_iou_threshold(cfg),
        amp=amp,
        channels_last=_has_channels_last(cfg) if channels_last is None else channels_last,
    )


def find_device(device: str | torch.device | None = None) -> torch.device:
    """The device of that name, None for the GPU where there is one; UserError where it is not there."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        hint = f"there are: {', '.join(['cpu', *(f'cuda:{i}' for i in range(torch.cuda.device_count()))])}"
        raise UserError(f"no such device: '{device}'", where="--device", hint=hint) from error
    return place


def tile_pipeline(cfg: Config) -> Compose:
    """The config's test pipeline with the loading of files replaced by that of pixels at hand, and no annotations."""
    steps = list(_dataset(cfg).get("pipeline") or ())
    if not steps or not _is_loader(steps[0]):
        raise UserError("no test pipeline that loads an image", where=cfg.filename, hint="test_dataloader.dataset")
    loader = {"type": "mmdet.LoadImageFromNDArray", "to_float32": steps[0].get("to_float32", False)}
    rest = [step for step in steps[1:] if "LoadAnnotations" not in step["type"]]
    try:
        return Compose([loader, *rest])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"cannot build the test pipeline: {error}", where=cfg.filename) from error


def _is_loader(step: dict) -> bool:
    return "Load" in step.get("type", "") and "Annotations" not in step["type"]


def _dataset(cfg: Config) -> dict:
    """The data set that the config tests on, without what wraps it."""
    dataset = (cfg.get("test_dataloader") or cfg.get("val_dataloader") or {}).get("dataset") or {}
    while "pipeline" not in dataset and isinstance(dataset.get("dataset"), dict):
        dataset = dataset["dataset"]
    return dataset


def classes_of(content: dict, cfg: Config, number: int | None) -> tuple[str, ...]:
    """The class names of a model of ``number`` classes: the checkpoint's, else the config's, else its data set's.

    Raises:
        UserError: None of them names that many.
    """
    counts = []
    for source, names in _named_classes(content, cfg):
        if number is None or len(names) == number:
            return names
        counts.append(f"{source} {len(names)}")
    told = f", named are: {'; '.join(counts)}" if counts else ""
    raise UserError(
        f"the model has {number} classes{told}",
        where=cfg.filename,
        hint="name them: --cfg-options test_dataloader.dataset.metainfo.classes=a,b",
    )


def _named_classes(content: dict, cfg: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    meta = content.get("meta") if isinstance(content.get("meta"), dict) else {}
    recorded, dataset = meta.get("dataset_meta") or {}, _dataset(cfg)
    for names in (recorded.get("classes"), recorded.get("CLASSES"), meta.get("CLASSES")):
        if names:
            yield "by the checkpoint", (names,) if isinstance(names, str) else tuple(names)
    named = (dataset.get("metainfo") or {}).get("classes")
    if named:
        yield "by the config's metainfo", (named,) if isinstance(named, str) else tuple(named)
    if dataset.get("classes"):
        yield "by the config", resolve_classes(dataset["classes"])
    kind = DATASETS.get(dataset.get("type", ""))
    default = (getattr(kind, "METAINFO", None) or {}).get("classes")
    if default:
        yield "by its data set", tuple(default)


def _has_channels_last(cfg: Config) -> bool:
    return any(hook["type"] == "ChannelsLastHook" for hook in cfg.get("custom_hooks") or ())


def _iou_threshold(cfg: Config) -> float:
    evaluator = cfg.get("test_evaluator") or {}
    if isinstance(evaluator, dict) and "iou_threshold" in evaluator:
        return float(evaluator["iou_threshold"])
    nms = (cfg.model.get("test_cfg") or {}).get("nms") or {}
    return float(nms.get("iou_threshold", Tiling.iou_threshold))
