"""Argument checks shared by the operations."""

from __future__ import annotations

from torch import Tensor


def check_tensors(**named: object) -> None:
    """Raise ``TypeError`` with the argument's name if it is neither a tensor nor None.

    Args:
        named: Arguments by name.

    Raises:
        TypeError: An argument is not a ``torch.Tensor``.

    Example:
        >>> from rotated_atss.ops.checks import check_tensors
        >>> check_tensors(boxes=[1, 2])
        Traceback (most recent call last):
        TypeError: boxes must be a torch.Tensor, got list. Convert it with torch.as_tensor.
    """
    for name, value in named.items():
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor, got {type(value).__name__}. Convert it with torch.as_tensor."
            )
