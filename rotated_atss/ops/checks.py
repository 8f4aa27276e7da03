"""What every operation asks of its arguments."""

from __future__ import annotations

from torch import Tensor


def check_tensors(**named: object) -> None:
    """Raise ``TypeError``, with the name, for what is no tensor; None is left out."""
    for name, value in named.items():
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, not {type(value).__name__}")
