"""Train and test in several processes: the launcher, the process group, and decisions that all processes share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import all_reduce, get_world_size, init_dist
from mmengine.utils.dl_utils import set_multi_processing

from rotated_atss.detection.engine.build_errors import report_build_errors
from rotated_atss.errors import UserError


def configure_launcher(cfg: Config, launcher: str) -> None:
    """Set the launcher of a config, in place.

    Args:
        cfg: The config. ``launcher`` is set. With the launcher ``pytorch`` but no GPU, ``model_wrapper_cfg`` is also
            set.
        launcher: ``none`` for one process, ``pytorch`` under torchrun.

    Raises:
        UserError: The process was not started by torchrun.

    Example:
        >>> cfg = Config()
        >>> configure_launcher(cfg, "none")
        >>> cfg.launcher
        'none'
    """
    cfg.launcher = launcher
    if launcher == "none":
        return
    if "RANK" not in os.environ:
        hint = "start it with tools/dist_train.sh CONFIG NUM_PROCESSES_PER_HOST"
        raise UserError(f"--launcher {launcher} needs the environment that torchrun sets", hint=hint)
    if not torch.cuda.is_available():  # MMEngine's default would name a GPU in device_ids
        cfg.model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)


@contextmanager
def process_group(launcher: str, env_cfg: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Open the process group of a run, and close it after a successful run.

    MMEngine opens the group when it builds the runner, but this fails without a GPU. On the CPU, the group is therefore
    opened here, with the backend gloo. On GPUs, it is opened here only if ``env_cfg`` is given.

    A process that exits with an open group can abort in its communication threads. Therefore, the group is closed after
    a successful run. After an error it stays open: see :func:`rotated_atss.cli.run_program`.

    Args:
        launcher: ``none`` or ``pytorch``.
        env_cfg: The config's ``env_cfg``, if processes with GPUs must communicate before the runner is built.

    Raises:
        UserError: The group cannot be opened with ``env_cfg``, or another process has ended, so that the connection to
            it is lost.

    Example:
        >>> with process_group("none"):
        ...     torch.distributed.is_initialized()
        False
    """
    if launcher != "none" and not torch.distributed.is_initialized():
        if not torch.cuda.is_available():
            torch.distributed.init_process_group("gloo")
        elif env_cfg is not None:
            with report_build_errors("env_cfg of this config"):  # the steps of Runner.setup_env
                set_multi_processing(**(env_cfg.get("mp_cfg") or {}), distributed=True)
                init_dist(launcher, **(env_cfg.get("dist_cfg") or {}))
    try:
        yield
    except RuntimeError as error:
        if launcher == "none" or not is_lost_connection(error):
            raise
        what = "the connection to another process of the run is lost: that process has ended"
        raise UserError(what, hint="its own error is the cause; continue with --resume") from error
    # Not in a finally block: after an error, this barrier could wait for a process that has already ended.
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def in_any_process(*conditions: bool) -> list[bool]:
    """Return, for each condition, whether it is true in any process, so that all processes make the same decision.

    All processes must call this function.

    Args:
        conditions: Whether each condition is true in this process.

    Example:
        >>> in_any_process(True, False)
        [True, False]
    """
    if get_world_size() == 1:
        return list(conditions)
    flags = torch.tensor(conditions, dtype=torch.float32)
    all_reduce(flags, "max")  # 1 if any process has 1
    return [bool(flag) for flag in flags.tolist()]


def is_lost_connection(error: BaseException) -> bool:
    """Return whether an error of a collective operation means that the connection to another process is lost.

    Example:
        >>> is_lost_connection(RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection reset"))
        True
    """
    # A build of torch without distributed training has none of these classes.
    error_types = [getattr(torch.distributed, name, None) for name in ("DistBackendError", "DistNetworkError")]
    return isinstance(error, tuple(kind for kind in error_types if kind is not None)) or "gloo/transport" in str(error)
