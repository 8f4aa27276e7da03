"""Centers of the positive priors that a config's assigner selects in an image."""

from __future__ import annotations

import numpy as np
from mmengine.config import Config
from numpy.typing import NDArray

from rotated_atss.assign.box_formats import centers
from rotated_atss.detection.engine.assigner_statistics import assign_priors, build_assigner
from rotated_atss.detection.engine.config_priors import ConfigPriors
from rotated_atss.detection.engine.dataset_records import AssignmentInput


class PositiveCenters:
    """Find the centers of the positive priors of images.

    The network is not built, because label assignment needs only priors and ground-truth boxes.

    Args:
        cfg: A config with a dense head, a prior generator and an assigner.

    Raises:
        UserError: The config has no dense head with a prior generator and an assigner.

    Example:
        >>> import torch
        >>> from rotated_atss.detection.engine.config import load_config
        >>> positive_centers = PositiveCenters(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90"))
        >>> image = AssignmentInput((64, 64), torch.tensor([[32.0, 32, 30, 20, 0.1]]), torch.zeros(0, 5))
        >>> centers, levels = positive_centers.find(image)
        >>> centers.shape
        (5, 2)
        >>> levels
        array([0, 0, 0, 0, 0])
    """

    def __init__(self, cfg: Config) -> None:
        self._priors = ConfigPriors(cfg)
        self._assigner = build_assigner("config", self._priors.assigner_cfg, self._priors.oriented)

    def find(self, image: AssignmentInput) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the centers and the levels of the positive priors of an image.

        Args:
            image: Size and ground truth in pixels of the network's input.

        Returns:
            Centers (P, 2), x and y in pixels of the network's input, and level indices (P,).
        """
        priors, level_sizes = self._priors.generate(image.image_wh)
        is_positive = assign_priors(self._assigner, priors, level_sizes, image) >= 0
        level_of_prior = np.repeat(np.arange(len(level_sizes)), level_sizes)
        return centers(priors[is_positive]).double().numpy(), level_of_prior[is_positive.numpy()]
