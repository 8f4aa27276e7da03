"""Centers of the positive priors that a config's assigner selects in an image."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from rotated_atss.assign.box_formats import centers
from rotated_atss.detection.engine.assigner_statistics import assign_priors, build_assigner
from rotated_atss.detection.engine.config_priors import ConfigPriors
from rotated_atss.detection.engine.dataset_records import AssignmentInput


class AssignmentPoints:
    """Find the positives of images. The network is not needed: the assigners use priors and boxes only.

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
        self._priors = ConfigPriors(cfg)
        self._assigner = build_assigner("config", self._priors.assigner_cfg, self._priors.oriented)

    def find(self, image: AssignmentInput) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the centers of the positive priors and their levels.

        Args:
            image: Size and ground truth in pixels of the network's input.

        Returns:
            (P, 2) x and y, and (P,) indices of the levels.
        """
        priors, level_sizes = self._priors.generate(image.image_wh)
        positive = torch.nonzero(assign_priors(self._assigner, priors, level_sizes, image) >= 0)[:, 0]
        levels = np.repeat(np.arange(len(level_sizes)), level_sizes)
        return centers(priors[positive]).double().numpy(), levels[positive.numpy()]
