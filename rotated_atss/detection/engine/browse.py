"""Load images and boxes as the network receives them: after the pipeline and data preprocessor of a config."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS
from torch import Tensor

from rotated_atss.detection.engine.build_errors import report_build_errors
from rotated_atss.detection.engine.class_names import config_classes, set_classes
from rotated_atss.detection.engine.config import require_keys
from rotated_atss.detection.engine.data_folders import set_test_data, set_train_data
from rotated_atss.detection.engine.pipeline_trace import PipelineRecorder, SampleTrace
from rotated_atss.detection.engine.random_numbers import SAMPLES, derive_seed, seed_generators
from rotated_atss.detection.registry import DATASETS
from rotated_atss.errors import UserError, count_of
from rotated_atss.ops.boxes import normalize_obb

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class NetworkInput:
    """An image and its boxes as the network receives them.

    Attributes:
        index: Index in the dataset.
        name: Name of the image file.
        image: (H, W, 3) uint8, BGR, with the padding of its batch; normalization is undone.
        image_wh: Width and height without the padding.
        original_wh: Width and height of the image file.
        boxes: (N, 5) or (N, 4), ``gt_instances.bboxes`` after the data preprocessor.
        labels: (N,) class indices.
        ignored_boxes: (I, 5) or (I, 4), ``ignored_instances.bboxes`` after the data preprocessor.
        ignored_labels: (I,) class indices.
        flip: ``horizontal``, ``vertical``, ``diagonal`` or ``none``.
        scale_xy: Scales of the resizing along x and y.
        trace: Rotation that the pipeline applied to the image, and boxes that it dropped.
        has_boxes: Whether the pipeline loads boxes; test pipelines load none.
    """

    index: int
    name: str
    image: np.ndarray
    image_wh: tuple[int, int]
    original_wh: tuple[int, int]
    boxes: Tensor
    labels: Tensor
    ignored_boxes: Tensor
    ignored_labels: Tensor
    flip: str
    scale_xy: tuple[float, float]
    trace: SampleTrace
    has_boxes: bool = True

    @property
    def facts(self) -> list[str]:
        """Five strings: size, flip, rotation, scale and number of boxes."""
        height, width = self.image.shape[:2]
        size = f"{self.original_wh[0]} x {self.original_wh[1]} -> {self.image_wh[0]} x {self.image_wh[1]} px"
        padding = f", padded to {width} x {height}" if (width, height) != self.image_wh else ""
        is_rotated = self.trace.rotation_deg or self.trace.quarter_turns
        total_deg = self.trace.rotation_deg + self.trace.quarter_turns * 90
        rotation = f"rotated by {total_deg:.0f} degrees" if is_rotated else "not rotated"
        scale_x, scale_y = (f"{scale:.3g}" for scale in self.scale_xy)
        scale = f"scale {scale_x}" if scale_x == scale_y else f"scale {scale_x} x {scale_y}"
        ignored = f", {len(self.ignored_boxes)} ignored" if len(self.ignored_boxes) else ""
        boxes = f"{count_of(len(self.boxes), 'box')}{ignored}" if self.has_boxes else "no boxes loaded"
        return [size + padding, f"flip {self.flip}", rotation, scale, boxes]


class InputBrowser:
    """Load network inputs from a config's dataset.

    Args:
        cfg: A config, as ``load_config`` returns it. It is not changed.
        split: Data loader of the config to use: ``train``, ``val`` or ``test``.
        data: Data folder that replaces the config's folder, as with the option ``--data`` of ``train`` and ``test``.
        classes: Class names that replace the config's classes.

    Raises:
        UserError: The config lacks the data loader or the data preprocessor, or its dataset cannot be built.

    Example::

        for network_input in InputBrowser(cfg).load(range(4), seed=0):
            network_input.boxes
    """

    def __init__(
        self, cfg: Config, split: str = "train", data: str | Path | None = None, classes: str | None = None
    ) -> None:
        loader_key = f"{split}_dataloader"
        require_keys(cfg, "model", loader_key)
        cfg = copy.deepcopy(cfg)
        if classes is not None:
            set_classes(cfg, classes)
        if data is not None:
            set_data = set_test_data if split == "test" else set_train_data  # a training folder contains train and val
            set_data(cfg, data)
        if cfg.model.get("data_preprocessor") is None:
            raise UserError("the model of this config has no data_preprocessor", where=cfg.filename)
        with report_build_errors(f"the {split} dataset of this config", where=cfg.filename):
            self.dataset: Any = DATASETS.build(cfg[loader_key].dataset)
            self._preprocessor: Any = MODELS.build(cfg.model.data_preprocessor)
        self._preprocessor_cfg = cfg.model.data_preprocessor
        self._recorder = PipelineRecorder(self.dataset)
        self._batch_size = max(1, int(cfg[loader_key].get("batch_size") or 1))
        self._is_training = split == "train"
        self.angle_version = find_angle_version(cfg)
        self.class_names = tuple(config_classes(cfg, loader_key) or ())

    def __len__(self) -> int:
        return len(self.dataset)

    def load(self, indices: Sequence[int], seed: int) -> Iterator[NetworkInput]:
        """Load images in batches of the config's size.

        Args:
            indices: Indices in the dataset, in the order in which they fill the batches.
            seed: Seed of the augmentation. The augmentation of an image depends only on this seed and its index.

        Yields:
            The network inputs, in the order of ``indices``.

        Raises:
            UserError: An image cannot be read.
        """
        remaining = iter(indices)
        while batch := list(islice(remaining, self._batch_size)):
            yield from self._load_batch(batch, seed)

    def _load_batch(self, indices: Sequence[int], seed: int) -> list[NetworkInput]:
        samples, traces = [], []
        for index in indices:
            epoch = 0
            seed_generators(derive_seed(seed, SAMPLES, epoch, index))
            samples.append(self.dataset[index])
            traces.append(self._recorder.trace)  # the recorder has the trace of the sample that was loaded last
        with torch.no_grad():
            data = self._preprocessor(pseudo_collate(samples), training=self._is_training)
        images = zip(indices, data["inputs"], data["data_samples"], traces, strict=True)
        return [self._to_input(index, inputs, sample, trace) for index, inputs, sample, trace in images]

    def _to_input(self, index: int, inputs: Tensor, sample: Any, trace: SampleTrace) -> NetworkInput:
        height, width = sample.img_shape[:2]
        original = sample.get("ori_shape", sample.img_shape)
        scale_x, scale_y = map(float, sample.get("scale_factor", (1.0, 1.0))[:2])
        boxes, labels = _boxes_and_labels(sample.get("gt_instances"))
        ignored_boxes, ignored_labels = _boxes_and_labels(sample.get("ignored_instances"))
        return NetworkInput(
            index=index,
            name=Path(sample.get("img_path", str(index))).name,
            image=self._to_image(inputs),
            image_wh=(width, height),
            original_wh=(original[1], original[0]),
            boxes=boxes,
            labels=labels,
            ignored_boxes=ignored_boxes,
            ignored_labels=ignored_labels,
            flip=(sample.get("flip_direction") or "none") if sample.get("flip") else "none",
            scale_xy=(scale_x, scale_y),
            trace=trace,
            has_boxes="bboxes" in sample.get("gt_instances", ()),
        )

    def _to_image(self, inputs: Tensor) -> np.ndarray:
        """Undo the normalization and channel swap of an image (3, H, W), and return it as uint8 BGR (H, W, 3)."""
        if self._preprocessor_cfg.get("mean") is not None:
            inputs = inputs * self._preprocessor.std + self._preprocessor.mean
        if self._preprocessor_cfg.get("bgr_to_rgb") or self._preprocessor_cfg.get("rgb_to_bgr"):
            inputs = inputs[[2, 1, 0]]
        pixels = inputs.float().round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def find_angle_version(cfg: Config) -> str | None:
    """Return the angle version of a config's box coder, or None for horizontal boxes.

    Example:
        >>> find_angle_version(Config(dict(model=dict(bbox_head=dict(bbox_coder=dict(angle_version="oc"))))))
        'oc'
    """
    for head in ("bbox_head", "bbox_head_init"):  # bbox_head_init: first head of a refining detector such as R3Det
        coder = (cfg.model.get(head) or {}).get("bbox_coder") or {}
        if coder.get("angle_version"):
            return str(coder["angle_version"])
    return None


def convert_angle_version(boxes: Tensor, angle_version: str | None) -> Tensor:
    """Convert (N, 5) oriented boxes to an angle version.

    Boxes are returned unchanged if they are (N, 4) horizontal boxes or ``angle_version`` is None.

    Example:
        >>> convert_angle_version(torch.tensor([[8.0, 8, 2, 6, 0]]), "le90")
        tensor([[ 8.0000,  8.0000,  6.0000,  2.0000, -1.5708]])
    """
    if angle_version is None or boxes.shape[-1] != 5:
        return boxes
    return normalize_obb(boxes, angle_version)


def _boxes_and_labels(instances: Any) -> tuple[Tensor, Tensor]:
    """Return boxes (N, 5) or (N, 4) and labels (N,) on the CPU.

    Both tensors are empty if ``instances`` is None or has no boxes.
    """
    if instances is None or "bboxes" not in instances:
        return torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    boxes = instances.bboxes
    return getattr(boxes, "tensor", boxes).detach().cpu(), instances.labels.detach().cpu()
