"""Format the line that shows the position and speed of a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Progress:
    """State of a run after an iteration. Values that are None are not shown.

    Attributes:
        position: Position in the run, such as ``epoch 3/12  50/1283``.
        loss: Mean loss of the latest iterations.
        lr: Learning rate.
        seconds: Seconds per iteration, mean of the latest iterations.
        loading_seconds: Part of ``seconds`` in which the device waits for data.
        images: Number of images per iteration, summed over all processes.
        remaining_seconds: Estimated seconds until the end of the run.
        memory: Kind of memory, ``GPU`` (tensors) or ``RSS`` (the process), and its size in bytes.
    """

    position: str
    seconds: float
    loading_seconds: float
    images: int
    loss: float | None = None
    lr: float | None = None
    remaining_seconds: float | None = None
    memory: tuple[str, int] | None = None


def format_progress(progress: Progress) -> str:
    """Format the state of a run as one line.

    Less important parts are on the right, where a narrow terminal cuts the line off.

    Example:
        >>> progress = Progress(position="test 4/9", seconds=0.5, loading_seconds=0.1, images=2, remaining_seconds=2.5)
        >>> format_progress(progress)
        'test 4/9  eta 0:00:02  4.0 images/s  0.50 s/step  loading 20%'
    """
    positive_seconds = max(progress.seconds, 1e-9)  # progress.seconds is 0 before the first measurement
    parts = [progress.position]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4f}")
    if progress.remaining_seconds is not None:
        parts.append(f"eta {timedelta(seconds=int(progress.remaining_seconds))}")
    if progress.lr is not None:
        parts.append(f"lr {progress.lr:.2e}")
    parts += [f"{_format_rate(progress.images / positive_seconds)} images/s", f"{progress.seconds:.2f} s/step"]
    parts.append(f"loading {progress.loading_seconds / positive_seconds:.0%}")
    if progress.memory is not None:
        kind, num_bytes = progress.memory
        parts.append(f"{kind} {num_bytes / 1e9:.1f} GB")
    return "  ".join(parts)


def _format_rate(rate: float) -> str:
    """Format a rate with one decimal place, or with two significant digits if it is below 1 and could become "0.0"."""
    return f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
