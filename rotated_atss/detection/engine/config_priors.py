"""Generate the priors of a config's dense head and find its assigner, without building the network."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from mmdet.registry import TASK_UTILS
from mmengine.config import Config, ConfigDict
from torch import Tensor

from rotated_atss.errors import UserError

_CACHED_SIZES = 4  # number of image sizes whose priors are cached; most tiles of a dataset have the same size


def find_dense_head_cfgs(cfg: Config) -> tuple[ConfigDict, ConfigDict]:
    """Return the configs of the prior generator and the assigner of a config's first dense head.

    Raises:
        UserError: The config has no dense head with anchors and an assigner.

    Example:
        >>> model = dict(bbox_head=dict(anchor_generator=dict(strides=[8])), train_cfg=dict(assigner=dict(topk=9)))
        >>> generator_cfg, assigner_cfg = find_dense_head_cfgs(Config(dict(model=model)))
        >>> assigner_cfg.topk
        9
    """
    model = cfg.get("model") or {}
    train_cfg = model.get("train_cfg") or {}
    train_cfg_by_head = {
        "bbox_head": train_cfg,
        "bbox_head_init": train_cfg.get("init") or {},  # first head of a refining detector such as R3Det
    }
    for head_key, head_train_cfg in train_cfg_by_head.items():
        generator = (model.get(head_key) or {}).get("anchor_generator")
        if generator is not None and head_train_cfg.get("assigner") is not None:
            return generator, head_train_cfg["assigner"]
    raise UserError("this config has no dense head with anchors and an assigner", where=cfg.filename)


class ConfigPriors:
    """Generate the priors of a config's first dense head for images of any size.

    Args:
        cfg: A config.

    Attributes:
        strides: Stride of each level in pixels.
        assigner_cfg: Config of the head's assigner.
        priors_of_location: (P, 5) or (P, 4) priors at one location of the finest level.

    Raises:
        UserError: The config has no dense head with anchors and an assigner.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> priors = ConfigPriors(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90"))
        >>> priors.strides, priors.generate((100, 64))[1]
        ([8, 16, 32, 64, 128], [128, 32, 8, 2, 1])
    """

    def __init__(self, cfg: Config) -> None:
        generator_cfg, self.assigner_cfg = find_dense_head_cfgs(cfg)
        self._generator: Any = TASK_UTILS.build(generator_cfg)
        self.strides = [int(stride_x) for stride_x, _ in self._generator.strides]
        single_cell_hw = [(1, 1)] * len(self.strides)  # each level has a feature map with a single cell
        self.priors_of_location: Tensor = self._generator.grid_priors(single_cell_hw, device="cpu")[0]
        self._pad_divisor = (cfg.model.get("data_preprocessor") or {}).get("pad_size_divisor", 1)
        self._generate_cached = functools.lru_cache(maxsize=_CACHED_SIZES)(self._generate_padded)

    @property
    def oriented(self) -> bool:
        """Whether priors are (A, 5)."""
        return self.priors_of_location.shape[1] == 5

    def generate(self, image_wh: tuple[int, int]) -> tuple[Tensor, list[int]]:
        """Generate the priors of an image that the config's data preprocessor has padded.

        Args:
            image_wh: Width and height in pixels before the padding.

        Returns:
            (A, 5) or (A, 4) priors, level after level, and the number of priors per level. Do not change them in place,
            because they are cached.
        """
        width, height = (math.ceil(side / self._pad_divisor) * self._pad_divisor for side in image_wh)
        return self._generate_cached(width, height)

    def _generate_padded(self, width: int, height: int) -> tuple[Tensor, list[int]]:
        feature_hw = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in self.strides]
        priors_per_level = self._generator.grid_priors(feature_hw, device="cpu")
        return torch.cat(priors_per_level), [len(priors) for priors in priors_per_level]
