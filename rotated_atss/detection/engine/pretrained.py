"""Download the backbone's pretrained weights before a training starts."""

from __future__ import annotations

import socket

from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from rotated_atss.detection.engine.build_errors import one_line
from rotated_atss.errors import UserError

DOWNLOAD_TIMEOUT_S = 10


def fetch_backbone_weights(cfg: Config) -> None:
    """Load the backbone's pretrained weights, so that a failed download is reported before the training starts.

    Downloaded weights stay in torch's cache. The initialization of the model reads them from there.

    Args:
        cfg: A config with ``model``. Without ``model.backbone.init_cfg.checkpoint`` nothing is loaded.

    Raises:
        UserError: The weights cannot be downloaded or read.

    Example:
        >>> fetch_backbone_weights(Config(dict(model=dict(backbone=dict(type="ResNet", init_cfg=None)))))
    """
    checkpoint = (cfg.model.get("backbone", {}).get("init_cfg") or {}).get("checkpoint")
    if not checkpoint:
        return
    previous_timeout_s = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # a network that drops packets would otherwise block for minutes
    try:
        CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    except Exception as error:  # a download or a damaged file can raise anything
        raise UserError(
            f"cannot get the backbone's weights {checkpoint}: {one_line(error)}",
            hint="give a local file with --cfg-options model.backbone.init_cfg.checkpoint=PATH, or train without them: "
            "--from-scratch sets init_cfg=None and, to freeze no untrained layers, frozen_stages=-1, norm_eval=False",
        ) from error
    finally:
        socket.setdefaulttimeout(previous_timeout_s)
