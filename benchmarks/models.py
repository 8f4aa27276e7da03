"""The R50 le90 model of this project and the peer's like it, without downloaded weights, and a batch for either."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import inputs
from rotated_atss.dota.labels import write_labels
from rotated_atss.io.png import encode_png
from rotated_atss.ops.boxes import obb_to_poly

CONFIG = "rotated_atss_obb_r50_fpn_1x_dota_le90"
PEER_CONFIG = "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py"
CLASSES = 15


def ours() -> torch.nn.Module:
    from rotated_atss.detection.engine.config import build_model, load_config

    with _quietly():
        model = build_model(load_config(CONFIG, {"model.backbone.init_cfg": None}))
        model.init_weights()
    return model


class LevelSizes:
    """mmrotate's ATSS assigner behind its RetinaNet head, which names no level sizes to its assigner."""

    def __init__(self, assigner: Any, sizes: list[int]) -> None:
        self.assigner, self.sizes = assigner, sizes

    def assign(self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None) -> Any:
        return self.assigner.assign(pred_instances, self.sizes, gt_instances, gt_instances_ignore)


def peer(size: int) -> torch.nn.Module:
    """Mmrotate's RetinaNet with one square prior a location and its dense ATSS assigner, for images of one size: the
    layers and losses of ours.
    """
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmengine.utils import get_installed_path
    from mmrotate.registry import MODELS

    path = f"{get_installed_path('mmrotate')}/.mim/configs/{PEER_CONFIG}"
    cfg = Config.fromfile(path, import_custom_modules=False)
    cfg.model.backbone.init_cfg = None
    cfg.model.bbox_head.anchor_generator.update(scales_per_octave=1, ratios=[1.0])
    cfg.model.train_cfg.assigner = dict(
        type="mmrotate.RotatedATSSAssigner", topk=9, iou_calculator=dict(type="mmrotate.RBboxOverlaps2D")
    )
    with DefaultScope.overwrite_default_scope("mmrotate"), _quietly():
        model = MODELS.build(cfg.model)
        model.init_weights()
    model.bbox_head.assigner = LevelSizes(model.bbox_head.assigner, inputs.priors(size)[1])
    return model


def batch(images: int, objects: int, size: int, boxes_of: Callable[[torch.Tensor], Any]) -> dict[str, list]:
    """What a loader gives: images (3, size, size) uint8 and their samples, boxes as ``boxes_of`` wants them."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    draw = torch.Generator().manual_seed(0)
    samples = []
    for seed in range(images):
        meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0), img_id=str(seed))
        sample = DetDataSample(metainfo=meta)
        labels = torch.randint(CLASSES, (objects,), generator=draw)
        sample.gt_instances = InstanceData(bboxes=boxes_of(inputs.scene(objects, seed, size=size)), labels=labels)
        sample.ignored_instances = InstanceData(bboxes=boxes_of(torch.zeros(0, 5)), labels=labels[:0])
        samples.append(sample)
    pixels = [torch.randint(0, 256, (3, size, size), generator=draw, dtype=torch.uint8) for _ in range(images)]
    return {"inputs": pixels, "data_samples": samples}


def loader(folder: Path, size: int, objects: int) -> Callable[[], Any]:
    """A function that reads and augments one PNG tile by the config's training pipeline: gradients under noise, which
    compress about as aerial images do.
    """
    from mmdet.registry import DATASETS

    from rotated_atss.detection.engine.config import load_config

    cfg = load_config(CONFIG)
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    base = np.stack((x, y, x + y), 2) * (255 / (2 * size)) + draw.normal(0, 6, (size, size, 3))
    (folder / "images").mkdir()
    (folder / "labelTxt").mkdir()
    name = f"P0000__{size}__0___0"
    (folder / "images" / f"{name}.png").write_bytes(encode_png(base.clip(0, 255).astype(np.uint8)))
    corners = obb_to_poly(inputs.scene(objects, size=size)).numpy().astype(np.float64)
    write_labels(folder / "labelTxt" / f"{name}.txt", corners, ["ship"] * objects, np.zeros(objects, dtype=np.int64))
    settings = {**cfg.train_dataloader.dataset, "data_root": str(folder)}
    dataset = DATASETS.build(settings)
    return lambda: dataset[0]


def optimiser(model: torch.nn.Module) -> Any:
    """MMEngine's optimiser wrapper as the config of ours has it: SGD and gradient clipping."""
    from mmengine.optim import build_optim_wrapper

    from rotated_atss.detection.engine.config import load_config

    return build_optim_wrapper(model, load_config(CONFIG).optim_wrapper)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the line a parameter that MMEngine logs."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
