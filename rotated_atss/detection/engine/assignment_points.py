"""Locations of the positives that a config's assigner selects in an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmdet.registry import TASK_UTILS
from mmengine.config import Config
from numpy.typing import NDArray

from rotated_atss.detection.engine.assigner_statistics import assign_priors, build_assigner, dense_head_parts
from rotated_atss.detection.engine.dataset_records import AssignmentInput


class AssignmentPoints:
    """Find the positives of images, without the network: assigners of this package need priors and boxes only.

    Args:
        cfg: A config with a dense head, a prior generator and an assigner.

    Raises:
        UserError: The config has no such head.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> points = AssignmentPoints(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90"))
        >>> image = AssignmentInput((64, 64), torch.tensor([[32.0, 32, 30, 20, 0.1]]), torch.zeros(0, 5))
        >>> centers, levels = points.find(image)
        >>> centers.shape, levels.tolist()
        ((5, 2), [0, 0, 0, 0, 0])
    """

    def __init__(self, cfg: Config) -> None:
        generator_cfg, assigner_cfg = dense_head_parts(cfg)
        self._generator: Any = TASK_UTILS.build(generator_cfg)
        self._strides = [int(stride[0]) for stride in self._generator.strides]
        oriented = self._generator.grid_priors([(1, 1)] * len(self._strides), device="cpu")[0].shape[1] == 5
        self._assigner = build_assigner("config", assigner_cfg, oriented)
        self._divisor = (cfg.model.get("data_preprocessor") or {}).get("pad_size_divisor", 1)

    def find(self, image: AssignmentInput) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the centers of the positive priors and their levels.

        Args:
            image: Size and ground truth in pixels of the network's input.

        Returns:
            (P, 2) x and y, and (P,) indices of the levels.
        """
        width, height = (-(-side // self._divisor) * self._divisor for side in image.image_wh)
        shapes = [(-(-height // stride), -(-width // stride)) for stride in self._strides]
        priors = self._generator.grid_priors(shapes, device="cpu")
        sizes, stacked = [len(level) for level in priors], torch.cat(priors)
        positive = torch.nonzero(assign_priors(self._assigner, stacked, sizes, image) >= 0)[:, 0].numpy()
        rows = stacked[positive].double().numpy()
        centers = rows[:, :2] if rows.shape[1] == 5 else (rows[:, :2] + rows[:, 2:]) / 2
        return centers, np.repeat(np.arange(len(sizes)), sizes)[positive]
