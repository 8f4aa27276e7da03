"""Comparison of the weights of a checkpoint with the weights of a model, by name and shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from torch import Tensor

from rotated_atss.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]
CLASS_COUNT_HINT = (
    "another number of classes: --cfg-options model.bbox_head.num_classes=N test_dataloader.dataset.classes=..."
)


def tensor_shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a state dict.

    Example:
        >>> import torch
        >>> tensor_shapes({"bias": torch.zeros(3)})
        {'bias': (3,)}
    """
    return {name: tuple(value.shape) for name, value in state.items()}


def check_state_dict_fits(
    given: Shapes,
    expected: Shapes,
    *,
    where: object,
    model: str = "",
    hint: str = "give the config they were trained with",
) -> None:
    """Raise an error unless a checkpoint has the weights of a model.

    Counters of batch norm (``num_batches_tracked``) can be missing, as in checkpoints of old PyTorch versions.

    Args:
        given: Shapes of the checkpoint's weights by name.
        expected: Shapes of the model's weights by name.
        where: Path of the checkpoint, for the error.
        model: Name of the model or config, for the error.
        hint: What to do, for the error. Replaced where only the number of classes differs.

    Raises:
        UserError: Names are missing or unexpected, or shapes differ; with their number and the first of each.

    Example:
        >>> check_state_dict_fits({"fc.weight": (2, 3)}, {"fc.weight": (2, 3)}, where="a.pth")
        >>> check_state_dict_fits({}, {"fc.weight": (2, 3)}, where="a.pth")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: a.pth: these are weights of another model: 1 missing (fc 1; first: fc.weight) ...
    """
    missing = [name for name in expected if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in expected]
    differing = [name for name in expected if name in given and given[name] != expected[name]]
    faults = [_fault("missing", missing), _fault("unexpected", unexpected)]
    if differing:
        first = differing[0]
        faults.append(_fault("of another shape", differing, f", got {given[first]}, expected {expected[first]}"))
    if any(faults):
        another = f"another model than {model}" if model else "another model"
        if differing and all(name.rpartition(".")[0].endswith("_cls") for name in differing):
            hint = CLASS_COUNT_HINT
        raise UserError(f"these are weights of {another}: {'; '.join(filter(None, faults))}", where=where, hint=hint)


def count_by_prefix(names: Iterable[str]) -> str:
    """Return how many weights each part of a model has.

    Example:
        >>> count_by_prefix(["backbone.conv1.weight", "backbone.conv1.bias", "neck.weight"])
        'backbone 2, neck 1'
    """
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{prefix} {count}" for prefix, count in counts.items())


def _fault(kind: str, names: list[str], details: str = "") -> str:
    return f"{len(names)} {kind} ({count_by_prefix(names)}; first: {names[0]}{details})" if names else ""
