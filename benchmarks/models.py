"""The R50 le90 model of this package, the equivalent mmrotate model, batches for both, and a loader of one tile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import baselines, inputs
from rotated_atss.assign import square_priors
from rotated_atss.dota.labels import write_labels
from rotated_atss.io.png import encode_png
from rotated_atss.io.quiet import quiet_exporters
from rotated_atss.ops.boxes import obb_to_poly

CONFIG = "rotated_atss_obb_r50_fpn_1x_dota_le90"
BASELINE_CONFIG = "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py"
CLASSES = 15


def build_own(config: str = CONFIG) -> torch.nn.Module:
    """Build a model of this package without downloading weights."""
    from rotated_atss.detection.engine.config import build_model, load_config

    with quiet_exporters():
        model = build_model(load_config(config, {"model.backbone.init_cfg": None}))
        model.init_weights()
    return model


def build_baseline(size: int) -> torch.nn.Module:
    """Build mmrotate's RetinaNet with one square prior per location and its own ATSS assigner."""
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmengine.utils import get_installed_path
    from mmrotate.registry import MODELS

    path = f"{get_installed_path('mmrotate')}/.mim/configs/{BASELINE_CONFIG}"
    cfg = Config.fromfile(path, import_custom_modules=False)
    cfg.model.backbone.init_cfg = None
    cfg.model.bbox_head.anchor_generator.update(scales_per_octave=1, ratios=[1.0])
    cfg.model.train_cfg.assigner = dict(
        type="mmrotate.RotatedATSSAssigner", topk=9, iou_calculator=dict(type="mmrotate.RBboxOverlaps2D")
    )
    with DefaultScope.overwrite_default_scope("mmrotate"), quiet_exporters():
        model = MODELS.build(cfg.model)
        model.init_weights()
    assigner, level_sizes = model.bbox_head.assigner, square_priors((size, size))[1]
    assign = assigner.assign  # the RetinaNet head does not pass level sizes
    assigner.assign = lambda priors, gt_boxes, ignored=None: assign(priors, level_sizes, gt_boxes, ignored)
    return model


def baseline_missing(device: str) -> str:
    """Return why the mmrotate model cannot be built or run on the device, or an empty string."""
    return baselines.missing_mmrotate() or baselines.mmcv_ops(device)[1]


def batch(
    images: int, num_gt: int, size: int, box_type: Callable[[torch.Tensor], Any] = lambda boxes: boxes
) -> dict[str, list]:  # fmt: skip
    """Make the batch of a loader: (3, size, size) uint8 images and samples with boxes in ``box_type``."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    draw = torch.Generator().manual_seed(0)
    samples = []
    for seed in range(images):
        meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0), img_id=str(seed))
        sample = DetDataSample(metainfo=meta)
        labels = torch.randint(CLASSES, (num_gt,), generator=draw)
        sample.gt_instances = InstanceData(bboxes=box_type(inputs.scene(num_gt, seed, size=size)), labels=labels)
        sample.ignored_instances = InstanceData(bboxes=box_type(torch.zeros(0, 5)), labels=labels[:0])
        samples.append(sample)
    pixels = [torch.randint(0, 256, (3, size, size), generator=draw, dtype=torch.uint8) for _ in range(images)]
    return {"inputs": pixels, "data_samples": samples}


def loader(folder: Path, size: int, num_gt: int) -> Callable[[], Any]:
    """Return a function that loads and augments one PNG tile by the config's training pipeline.

    The tile holds gradients and noise, which do not compress to nothing.
    """
    from mmdet.registry import DATASETS

    from rotated_atss.detection.engine.config import load_config

    draw = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    base = np.stack((x, y, x + y), 2) * (255 / (2 * size)) + draw.normal(0, 6, (size, size, 3))
    (folder / "images").mkdir()
    (folder / "labelTxt").mkdir()
    name = f"P0000__{size}__0___0"
    (folder / "images" / f"{name}.png").write_bytes(encode_png(base.clip(0, 255).astype(np.uint8)))
    corners = obb_to_poly(inputs.scene(num_gt, size=size)).numpy().astype(np.float64)
    write_labels(folder / "labelTxt" / f"{name}.txt", corners, ["ship"] * num_gt, np.zeros(num_gt, dtype=np.int64))
    dataset = DATASETS.build({**load_config(CONFIG).train_dataloader.dataset, "data_root": str(folder)})
    return lambda: dataset[0]


def optimizer(model: torch.nn.Module) -> Any:
    """Build MMEngine's optimizer wrapper as in the config: SGD with gradient clipping."""
    from mmengine.optim import build_optim_wrapper

    from rotated_atss.detection.engine.config import load_config

    return build_optim_wrapper(model, load_config(CONFIG).optim_wrapper)
