"""Choose where a training run logs scalars and pictures, in addition to its work folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config

from rotated_atss.detection.engine.build_errors import one_line
from rotated_atss.errors import UserError

# MMEngine's visualization backends by value of --log-to. The value is also the name of the required Python package.
BACKENDS = {
    "tensorboard": "TensorboardVisBackend",
    "wandb": "WandbVisBackend",
    "mlflow": "MLflowVisBackend",
    "clearml": "ClearMLVisBackend",
}
NONE = "none"  # value of --log-to for logging to the work folder only
PROJECT = "rotated-atss"  # name of the project or experiment in the tracking service


def set_log_targets(cfg: Config, log_to: str) -> None:
    """Set the visualization backends of a config, in place. Scalars are always logged to the work folder.

    Args:
        cfg: The config. ``visualizer.vis_backends`` is changed.
        log_to: Comma-separated keys of :data:`BACKENDS`, or ``none``.

    Raises:
        UserError: ``log_to`` contains an unknown key.

    Example:
        >>> cfg = Config(dict(visualizer=dict(type="DetLocalVisualizer", vis_backends=[])))
        >>> set_log_targets(cfg, "none")
        >>> cfg.visualizer.vis_backends
        [{'type': 'LocalVisBackend'}]
    """
    listed_names = [name.strip() for name in log_to.split(",")]
    names = [name for name in listed_names if name not in ("", NONE)]
    unknown = [name for name in names if name not in BACKENDS]
    if unknown:
        raise UserError(f"--log-to must contain only {', '.join(BACKENDS)} or {NONE}, got '{unknown[0]}'")
    run_name, work_dir = cfg.get("config_name") or "training", Path(cfg.get("work_dir") or "")
    backends = [{"type": BACKENDS[name], **_backend_args(name, run_name, work_dir)} for name in dict.fromkeys(names)]
    visualizer = dict(cfg.get("visualizer") or {"type": "DetLocalVisualizer"})
    cfg.visualizer = {**visualizer, "vis_backends": [{"type": "LocalVisBackend"}, *backends]}


def check_log_targets(cfg: Config) -> None:
    """Check that the packages of a config's visualization backends are installed.

    Raises:
        UserError: A package is not installed.

    Example:
        >>> check_log_targets(Config(dict(visualizer=dict(vis_backends=[dict(type="LocalVisBackend")]))))
    """
    package_by_type = {backend_type: package for package, backend_type in BACKENDS.items()}
    visualizer = cfg.get("visualizer") or {}
    for backend_cfg in visualizer.get("vis_backends") or ():
        if not isinstance(backend_cfg, Mapping):
            continue
        package = package_by_type.get(str(backend_cfg.get("type")))
        if package is not None and not _is_installed(package):
            hint = f"pip install {package}, or log to the work folder only: --log-to {NONE}"
            raise UserError(f"this training run logs to {package}, which is not installed", hint=hint)


@contextmanager
def report_log_target_errors() -> Iterator[None]:
    """Convert an error of a tracking service, such as a missing login, to a one-line error.

    Raises:
        UserError: The service cannot be used.

    Example:
        >>> class UsageError(Exception):
        ...     __module__ = "wandb.errors"  # like the exception types of wandb
        >>> with report_log_target_errors():
        ...     raise UsageError("not logged in")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: cannot log to wandb: not logged in (log in, or train with --log-to none)
    """
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package not in BACKENDS:
            raise
        hint = f"log in, or train with --log-to {NONE}"
        raise UserError(f"cannot log to {package}: {one_line(error)}", hint=hint) from error


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # find_spec rejects an imported module whose __spec__ is not set
        return True


def _backend_args(name: str, run_name: str, work_dir: Path) -> dict[str, Any]:
    """Return the arguments of a visualization backend, such as the project name and the run name.

    The environment variable ``MLFLOW_TRACKING_URI`` sets the server of MLflow. If it is not set, the runs are written
    to a database in the work folder, because MLflow 3 and later reject MMEngine's default, a folder of text files. For
    wandb and ClearML no server is set here, because their packages have their own settings for it.
    """
    if name == "wandb":
        return {"init_kwargs": {"project": os.environ.get("WANDB_PROJECT", PROJECT), "name": run_name}}
    if name == "mlflow":
        # Files of the work folder with these suffixes, the log and the config, are copied to MLflow.
        args = {"exp_name": PROJECT, "run_name": run_name, "artifact_suffix": (".log", ".py")}
        server = os.environ.get("MLFLOW_TRACKING_URI")
        if server:
            return {**args, "tracking_uri": server}
        database, artifacts = work_dir.resolve() / "mlflow.db", work_dir.resolve() / "mlflow"
        return {**args, "tracking_uri": f"sqlite:///{database}", "artifact_location": artifacts.as_uri()}
    if name == "clearml":
        return {"init_kwargs": {"project_name": PROJECT, "task_name": run_name}}
    return {}
