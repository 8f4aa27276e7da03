"""Download the backbone's pretrained weights before a training run starts."""

from __future__ import annotations

import socket

from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from rotated_atss.detection.engine.build_errors import one_line
from rotated_atss.errors import UserError

DOWNLOAD_TIMEOUT_S = 10


def fetch_backbone_weights(cfg: Config) -> None:
    """Load the backbone's pretrained weights once, so that a failed download is reported before training starts.

    The loaded weights are discarded. Downloaded weights are kept in torch's cache, from which they are read again when
    the model is initialized.

    Args:
        cfg: A config with ``model``. If ``model.backbone.init_cfg.checkpoint`` is not set, nothing is loaded.

    Raises:
        UserError: The weights cannot be downloaded or read.

    Example:
        >>> fetch_backbone_weights(Config(dict(model=dict(backbone=dict(type="ResNet", init_cfg=None)))))
    """
    init_cfg = cfg.model.get("backbone", {}).get("init_cfg") or {}
    checkpoint = init_cfg.get("checkpoint")
    if not checkpoint:
        return
    previous_timeout_s = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # a network that drops packets would otherwise block for minutes
    try:
        CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    except Exception as error:  # failed downloads and damaged files raise many types of exceptions
        raise UserError(
            f"cannot load the backbone's pretrained weights {checkpoint}: {one_line(error)}",
            hint="give a local file with --cfg-options model.backbone.init_cfg.checkpoint=PATH, or train without "
            "pretrained weights and without frozen layers: --from-scratch",
        ) from error
    finally:
        socket.setdefaulttimeout(previous_timeout_s)
