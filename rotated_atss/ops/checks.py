"""Argument checks shared by the operations."""

from __future__ import annotations

from torch import Tensor


def check_tensors(**arguments: object) -> None:
    """Check that each argument is a tensor or None.

    Args:
        arguments: Arguments of an operation, by name.

    Raises:
        TypeError: An argument is neither. The message contains its name.

    Example:
        >>> from rotated_atss.ops.checks import check_tensors
        >>> check_tensors(boxes=[1, 2])
        Traceback (most recent call last):
        TypeError: boxes must be a torch.Tensor, got list. Convert it with torch.as_tensor.
    """
    for name, value in arguments.items():
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor, got {type(value).__name__}. Convert it with torch.as_tensor."
            )
