"""Read the losses, learning rate and metrics of a training from the files that the training writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError

SCALARS = "*/vis_data/scalars.json"
"""Pattern of the files of logged values in a work folder. MMEngine writes one file per start of the training, in a
folder whose name is the time of the start.
"""
# keys of a row that are neither losses nor metrics
_OTHER_KEYS = ("lr", "base_lr", "data_time", "time", "memory", "epoch", "iter", "step", "grad_norm")


@dataclass
class LoggedCurve:
    """Values that a training has logged, with the iteration (``steps``) of each."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Append a value, unless it is infinite or NaN."""
        if math.isfinite(value):
            self.steps.append(step)
            self.values.append(value)


@dataclass
class LearningCurves:
    """Curves of a training.

    Attributes:
        losses: Curves by name of the loss; ``loss`` is the sum of the others.
        lr: Learning rate.
        metrics: Results of the validations by name of the metric, such as ``dota/AP50``. The iteration of a validation
            is the latest one that was logged before it.
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
    """Read the curves of a training, which may have been resumed.

    Args:
        work_dir: Work folder of a training.

    Raises:
        UserError: The folder has no record of a training, or the record is damaged.

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
        raise UserError("no such folder", where=work_dir, hint="give the --work-dir of a training")
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(work_dir).glob(SCALARS)):
        rows = _append_resumed(rows, list(_replace_validation_steps(_read_rows(path))))
    curves = build_curves(rows)
    if not curves.losses:
        raise UserError(
            "no losses of a training are recorded here", where=work_dir, hint=f"a training writes {SCALARS}"
        )
    return curves


def build_curves(rows: Iterable[Mapping[str, Any]]) -> LearningCurves:
    """Collect logged values into curves.

    Args:
        rows: Values by name, with the iteration as ``step``. A row with ``lr`` is from the training, any other row from
            a validation.

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
            is_value = isinstance(value, (int, float)) and name not in _OTHER_KEYS
            # models can log other values of a training step, for example acc; the name of every loss contains "loss"
            if is_value and (not is_training or "loss" in name):
                losses_or_metrics.setdefault(name, LoggedCurve()).add(row["step"], float(value))
    return curves


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, without a last line that was cut off because the training was killed."""
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
    """Replace the ``step`` of a validation, which can be an epoch, with the iteration of the training row before it."""
    iteration = 0
    for row in rows:
        iteration = row["step"] if "lr" in row else iteration
        yield {**row, "step": iteration}


def _append_resumed(rows: list[dict[str, Any]], resumed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Append the rows of a resumed training, which replace earlier rows from its first iteration on.

    If it was stopped before it logged an iteration, all earlier rows are kept.
    """
    first_step = min((row["step"] for row in resumed if "lr" in row), default=math.inf)
    return [row for row in rows if row["step"] < first_step] + resumed
