"""Operations on a built detector: unwrap it, count its classes, set its memory layout, compile it."""

from __future__ import annotations

import torch
from torch import nn

from rotated_atss.detection.engine.build_errors import one_line
from rotated_atss.errors import UserError


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the detector without its wrappers for distributed training and test-time augmentation.

    Example:
        >>> wrapper = nn.Module()
        >>> wrapper.module = nn.Linear(2, 1)
        >>> unwrap_model(wrapper)
        Linear(in_features=2, out_features=1, bias=True)
    """
    while isinstance(inner := getattr(model, "module", None), nn.Module):
        model = inner
    return model


def num_classes(model: nn.Module) -> int | None:
    """Return the number of classes of a detector, wrapped or not; None if it is unknown.

    Example:
        >>> head = nn.Module()
        >>> head.num_classes = 15
        >>> num_classes(nn.ModuleDict({"bbox_head": head}))
        15
    """
    detector = unwrap_model(model)
    head_or_detector = getattr(detector, "bbox_head", detector)  # R3Det has no bbox_head, but num_classes itself
    return getattr(head_or_detector, "num_classes", None)


def has_fast_bfloat16(device: str) -> bool:
    """Return whether a device computes convolutions in bfloat16 natively, as GPUs and CPUs with AVX-512 do.

    Other CPUs must convert each value, so a training step in bfloat16 takes ten times as long as in float32.

    Args:
        device: Device type: ``cpu``, ``cuda`` or ``mps``.

    Example:
        >>> has_fast_bfloat16("cuda")
        True
    """
    if device != "cpu":
        return True
    # This operator is private, so a version of torch may not have it. In this case, native bfloat16 is assumed.
    query_support = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return query_support is None or bool(query_support())


def store_channels_last(model: nn.Module) -> None:
    """Store the weights of convolutions in channels-last layout, in place, except on Apple's mps.

    Many releases of torch compute some layers wrongly or not at all in this layout on mps (pytorch/pytorch 140902,
    180984, 188371).

    Args:
        model: A model with parameters.

    Example:
        >>> network = nn.Conv2d(3, 8, 3)
        >>> store_channels_last(network)
        >>> network.weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    if next(model.parameters()).device.type != "mps":
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent from torch's stubs


def compile_network(model: nn.Module, backend: str = "inductor") -> None:
    """Compile backbone and neck with ``torch.compile``, in place.

    The names of weights do not change. The compilation itself happens during the first training steps, which therefore
    take minutes. The head is not compiled because its shapes depend on the number of objects.

    Args:
        model: A detector with ``backbone`` and, optionally, ``neck``.
        backend: Backend of ``torch.compile``.

    Raises:
        UserError: ``torch.compile`` does not work on this machine.

    Example:
        >>> detector = nn.ModuleDict({"backbone": nn.Conv2d(3, 8, 3)})
        >>> compile_network(detector, backend="eager")
    """
    # The network itself is compiled only in the first training steps, so a small function is compiled here to find out
    # whether torch.compile works.
    try:
        torch.compile(lambda x: x.relu() + 1, backend=backend)(torch.ones(8))
    except Exception as error:  # the type of the exception depends on what is missing and on the platform
        hint = "install a C++ compiler, or train without --compile"
        raise UserError(f"torch.compile does not work on this machine: {one_line(error)}", hint=hint) from error
    for part in (getattr(model, name, None) for name in ("backbone", "neck")):
        if part is not None:
            part.compile(backend=backend)
