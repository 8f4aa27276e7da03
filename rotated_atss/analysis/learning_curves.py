"""Losses, learning rate and metrics of a training, read from the files that it writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError

SCALARS = "*/vis_data/scalars.json"  # in the work folder: one file per start of the training
_NOT_PLOTTED = ("lr", "base_lr", "data_time", "time", "memory", "epoch", "iter", "step", "grad_norm")


@dataclass
class Curve:
    """Values by iteration."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Append a value; one that is not finite is left out."""
        if math.isfinite(value):
            self.steps.append(step)
            self.values.append(value)


@dataclass
class LearningCurves:
    """Curves of a training.

    Attributes:
        losses: By name; ``loss`` is their sum.
        lr: Learning rate.
        metrics: Results of the validations by name, such as ``dota/AP50``. Their step is the latest iteration that was
            logged before the validation.
    """

    losses: dict[str, Curve] = field(default_factory=dict)
    lr: Curve = field(default_factory=Curve)
    metrics: dict[str, Curve] = field(default_factory=dict)


def read_learning_curves(work_dir: str | Path) -> LearningCurves:
    """Read the curves of a training, also of one that was resumed.

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
        Curve(steps=[50], values=[2.5])
    """
    if not Path(work_dir).is_dir():
        raise UserError("no such folder", where=work_dir, hint="give the --work-dir of a training")
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(work_dir).glob(SCALARS)):
        rows = _continue(rows, list(_placed(_read_rows(path))))
    curves = build_curves(rows)
    if not curves.losses:
        raise UserError(
            "no losses of a training are recorded here", where=work_dir, hint=f"a training writes {SCALARS}"
        )
    return curves


def build_curves(rows: Iterable[Mapping[str, Any]]) -> LearningCurves:
    """Sort the values of rows into curves.

    Args:
        rows: Values by name, with the iteration as ``step``; rows with ``lr`` are of training, others of validation.

    Example:
        >>> build_curves([{"lr": 0.1, "loss": 2.0, "step": 5}, {"dota/AP50": 0.4, "step": 5}]).metrics
        {'dota/AP50': Curve(steps=[5], values=[0.4])}
    """
    curves = LearningCurves()
    for row in rows:
        is_training = "lr" in row
        if is_training:
            curves.lr.add(row["step"], row["lr"])
        target = curves.losses if is_training else curves.metrics
        for name, value in row.items():
            is_value = isinstance(value, (int, float)) and name not in _NOT_PLOTTED
            if is_value and (not is_training or "loss" in name):
                target.setdefault(name, Curve()).add(row["step"], float(value))
    return curves


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file; the last line can be incomplete, if the training was killed while it wrote it."""
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


def _placed(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Replace the ``step`` of validations, which can be an epoch, by the iteration of the row before them."""
    latest = 0
    for row in rows:
        latest = row["step"] if "lr" in row else latest
        yield {**row, "step": latest}


def _continue(earlier: list[dict[str, Any]], later: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the rows of a training and of one that resumes it, which can repeat the end of the first."""
    first = min((row["step"] for row in later if "lr" in row), default=math.inf)
    return [row for row in earlier if row["step"] < first] + later
