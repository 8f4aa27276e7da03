"""Read the losses, learning rate and metrics that a training run has logged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError

SCALARS = "*/vis_data/scalars.json"
"""Pattern of the files in a work folder that contain the logged values. Whenever training is started or resumed,
MMEngine writes a new file, in a folder named after the start time.
"""
# values of a row that are neither losses nor metrics
_OTHER_VALUES = ("lr", "base_lr", "data_time", "time", "memory", "epoch", "iter", "step", "grad_norm")


@dataclass
class LoggedCurve:
    """Values that a training run has logged, and the iteration of each value (``steps``)."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Append a value, unless it is infinite or NaN."""
        if math.isfinite(value):
            self.steps.append(step)
            self.values.append(value)


@dataclass
class LearningCurves:
    """Curves of a training run.

    Attributes:
        losses: Curves keyed by the name of the loss. The curve ``loss`` is the sum of the other losses.
        lr: Learning rate.
        metrics: Curves of the validation results, keyed by the name of the metric, such as ``dota/AP50``. A validation
            is placed at the last iteration that was logged before it.
    """

    losses: dict[str, LoggedCurve] = field(default_factory=dict)
    lr: LoggedCurve = field(default_factory=LoggedCurve)
    metrics: dict[str, LoggedCurve] = field(default_factory=dict)

    def has_line(self) -> bool:
        """Return whether any curve has more than one point.

        Example:
            >>> LearningCurves(lr=LoggedCurve([1], [0.01])).has_line()
            False
        """
        return any(len(curve.steps) > 1 for curve in (*self.losses.values(), self.lr, *self.metrics.values()))


def read_learning_curves(work_dir: str | Path) -> LearningCurves:
    """Read the curves of a training run, which may have been resumed.

    Args:
        work_dir: Work folder of the run.

    Raises:
        UserError: The folder has no logged losses, or a file of logged values is damaged.

    Example:
        >>> import tempfile
        >>> row = '{"lr": 0.01, "loss": 2.5, "loss_cls": 1.0, "time": 0.2, "step": 50}'
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "20261127_060419", "vis_data", "scalars.json")
        ...     path.parent.mkdir(parents=True)
        ...     _ = path.write_text(row)
        ...     read_learning_curves(folder).losses["loss"]
        LoggedCurve(steps=[50], values=[2.5])
    """
    if not Path(work_dir).is_dir():
        raise UserError("no such folder", where=work_dir, hint="give the --work-dir of a training run")
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(work_dir).glob(SCALARS)):
        rows = _append_resumed(rows, list(_replace_validation_steps(_read_rows(path))))
    curves = build_curves(rows)
    if not curves.losses:
        raise UserError("the folder has no logged losses", where=work_dir, hint=f"training writes them to {SCALARS}")
    return curves


def build_curves(rows: Iterable[Mapping[str, Any]]) -> LearningCurves:
    """Collect logged values into curves.

    Args:
        rows: Values keyed by name; ``step`` is the iteration. A row with ``lr`` has been logged by a training step, and
            any other row by a validation.

    Example:
        >>> build_curves([{"lr": 0.1, "loss": 2.0, "step": 5}, {"dota/AP50": 0.4, "step": 5}]).metrics
        {'dota/AP50': LoggedCurve(steps=[5], values=[0.4])}
    """
    curves = LearningCurves()
    for row in rows:
        is_training = "lr" in row
        if is_training:
            curves.lr.add(row["step"], row["lr"])
        losses_or_metrics = curves.losses if is_training else curves.metrics
        for name, value in row.items():
            is_number = isinstance(value, (int, float)) and name not in _OTHER_VALUES
            # A training row can have other values than losses, for example acc. The name of every loss contains "loss".
            if is_number and (not is_training or "loss" in name):
                losses_or_metrics.setdefault(name, LoggedCurve()).add(row["step"], float(value))
    return curves


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file. A malformed last line is left out, because killing the training can cut it off."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if not isinstance(row["step"], int):
                raise TypeError
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if number == len(lines):
                return
            raise UserError("not a row of scalars", where=f"{path}:{number}") from error
        yield row


def _replace_validation_steps(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Set the ``step`` of each validation, which can be an epoch, to the iteration of the training row before it."""
    iteration = 0
    for row in rows:
        iteration = row["step"] if "lr" in row else iteration
        yield {**row, "step": iteration}


def _append_resumed(rows: list[dict[str, Any]], resumed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Append the rows of a resumed run, and drop the earlier rows from its first logged iteration on.

    If the resumed run was stopped before it logged an iteration, all earlier rows are kept.
    """
    first_step = min((row["step"] for row in resumed if "lr" in row), default=math.inf)
    return [row for row in rows if row["step"] < first_step] + resumed
