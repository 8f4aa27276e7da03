"""The ``--device`` option, and the setting that lets torch fall back to the CPU on Apple's MPS."""

from __future__ import annotations

import argparse
import os
from collections.abc import MutableMapping

_MPS_FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"


def add_device_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--device`` to a parser or an argument group."""
    parser.add_argument(
        "--device", metavar="DEVICE",
        help="cpu, cuda, cuda:1, mps (Apple GPU), ... (default: the CUDA GPU if there is one, otherwise the CPU)",
    )  # fmt: skip


def enable_mps_fallback(environment: MutableMapping[str, str] | None = None) -> None:
    """Let torch fall back to the CPU for operations that MPS does not support.

    The function sets the environment variable ``PYTORCH_ENABLE_MPS_FALLBACK``, unless the user has set it. Call the
    function before torch is imported, because torch reads the variable on import.

    Args:
        environment: The environment variables; None stands for those of this process.

    Example:
        >>> environment = {}
        >>> enable_mps_fallback(environment)
        >>> environment
        {'PYTORCH_ENABLE_MPS_FALLBACK': '1'}
    """
    if environment is None:
        environment = os.environ
    environment.setdefault(_MPS_FALLBACK, "1")
