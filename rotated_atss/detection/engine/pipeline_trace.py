"""Record what a pipeline does to a sample: the image and boxes as loaded, and the boxes that its steps drop.

Transforms do not report which boxes they drop, but they drop the ignore flag of a box together with the box. Therefore
the flags are passed to each step as an array that also carries the row index of each box. After the step, the array
carries the row indices of the remaining boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rotated_atss.detection.datasets.transforms import RandomRotation
from rotated_atss.detection.engine.dataset_wrappers import innermost_built_datasets

_FLAGS_KEY = "gt_ignore_flags"


@dataclass(frozen=True)
class DroppedBox:
    """A box that a step of the pipeline dropped.

    Attributes:
        label: Class index.
        box: The box before the step, (5,) or (4,).
        reason: Why the box was dropped, and by which step.
    """

    label: int
    box: Tensor
    reason: str


@dataclass
class SampleTrace:
    """Record of what a pipeline did to a sample.

    Attributes:
        image: (H, W, 3) image as loaded; None if the pipeline loads no image.
        boxes: (N, 5) or (N, 4) boxes as loaded.
        labels: (N,) class indices.
        ignored: (N,) bool, whether each box is ignored.
        dropped: Boxes that the pipeline dropped.
        rotation_deg: Clockwise angle in degrees by which the image was rotated, without the quarter turns.
        quarter_turns: Number of clockwise quarter turns.
    """

    image: np.ndarray | None = None
    boxes: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    ignored: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    dropped: list[DroppedBox] = field(default_factory=list)
    rotation_deg: float = 0.0
    quarter_turns: int = 0


class PipelineRecorder:
    """Record what the pipelines of a dataset do, sample by sample.

    Args:
        dataset: A built dataset, possibly a wrapper. Each step of its pipelines is replaced, in place, by a step that
            calls the original step and records the changes.

    Example::

        recorder = PipelineRecorder(dataset)
        sample = dataset[0]
        recorder.trace.dropped
    """

    def __init__(self, dataset: Any) -> None:
        self.trace = SampleTrace()
        for inner in innermost_built_datasets(dataset):
            pipeline = getattr(inner, "pipeline", None)
            steps = getattr(pipeline, "transforms", None)
            if pipeline is None or steps is None:
                continue
            pipeline.transforms = [_RecordedStep(step, self, is_first=index == 0) for index, step in enumerate(steps)]

    def start(self) -> None:
        """Start the trace of a new sample."""
        self.trace = SampleTrace()


class _RecordedStep:
    """A step of a pipeline that records what it does."""

    def __init__(self, step: Any, recorder: PipelineRecorder, is_first: bool) -> None:
        self.step, self.recorder, self.is_first = step, recorder, is_first

    def __call__(self, results: dict) -> dict | None:
        if self.is_first:
            self.recorder.start()
        trace = self.recorder.trace
        previous_boxes_and_labels = None  # stays None if no earlier step has loaded boxes
        if "gt_bboxes" in results and _FLAGS_KEY in results:
            previous_boxes_and_labels = results["gt_bboxes"].tensor.clone(), np.array(results["gt_bboxes_labels"])
            results[_FLAGS_KEY] = _attach_row_index(results[_FLAGS_KEY])
        new_results = self.step(results)
        if not isinstance(new_results, dict):  # a step returns None to reject the sample
            return new_results
        remaining_rows = _detach_row_index(new_results)
        if previous_boxes_and_labels is not None and remaining_rows is not None:
            boxes, labels = previous_boxes_and_labels
            trace.dropped += _list_dropped_boxes(boxes, labels, remaining_rows, self.step)
        trace.rotation_deg = new_results.get("rotation_deg", trace.rotation_deg)
        trace.quarter_turns = new_results.get("quarter_turns", trace.quarter_turns)
        if trace.image is None and "img" in new_results:
            trace.image = new_results["img"].copy()
        if previous_boxes_and_labels is None and "gt_bboxes" in new_results:  # this step loaded the boxes
            _record_boxes(trace, new_results)
        return new_results

    def __getattr__(self, name: str) -> Any:
        if name == "step":
            # While an object is copied or unpickled, this attribute is not set yet. Without this check, self.step below
            # would recurse without end.
            raise AttributeError(name)
        return getattr(self.step, name)


class _IndexedFlags(np.ndarray):
    """Array (N,) of box flags with the row index of each box; selecting flags also selects their row indices."""

    row_index: np.ndarray | None

    def __array_finalize__(self, other: Any) -> None:
        """Initialize a new array or view: NumPy calls this method instead of ``__init__``."""
        self.row_index = None

    def __getitem__(self, key: Any) -> Any:
        """Select flags, and the row indices of the same boxes."""
        selected = super().__getitem__(key)
        if isinstance(selected, _IndexedFlags) and self.row_index is not None:
            selected.row_index = self.row_index[key]
        return selected


def _attach_row_index(flags: np.ndarray) -> _IndexedFlags:
    indexed_flags = np.asarray(flags).view(_IndexedFlags)
    indexed_flags.row_index = np.arange(len(flags))
    return indexed_flags


def _detach_row_index(results: dict) -> np.ndarray | None:
    """Make the flags a plain array again, and return the row indices of the remaining boxes.

    Returns:
        None if the flags have no row indices.
    """
    flags = results.get(_FLAGS_KEY)
    if not isinstance(flags, _IndexedFlags):
        return None
    results[_FLAGS_KEY] = np.asarray(flags)
    return flags.row_index


def _list_dropped_boxes(boxes: Tensor, labels: np.ndarray, remaining_rows: np.ndarray, step: Any) -> list[DroppedBox]:
    dropped_rows = np.setdiff1d(np.arange(len(boxes)), remaining_rows)
    return [DroppedBox(int(labels[row]), boxes[row], _explain_drop(boxes[row], step)) for row in dropped_rows.tolist()]


def _explain_drop(box: Tensor, step: Any) -> str:
    name = type(step).__name__
    if not isinstance(step, RandomRotation):  # the reasons below are the rules of RandomRotation
        return f"removed by {name}"
    if float(box[2:4].min()) <= step.min_side:
        return f"too small for {name}: the shorter side is not longer than min_side ({step.min_side:g} px)"
    return f"removed by {name}: the center of the rotated box is outside the image"


def _record_boxes(trace: SampleTrace, results: dict) -> None:
    trace.boxes = results["gt_bboxes"].tensor.clone()
    trace.labels = torch.from_numpy(np.array(results["gt_bboxes_labels"]))
    trace.ignored = torch.from_numpy(np.array(results[_FLAGS_KEY]))
