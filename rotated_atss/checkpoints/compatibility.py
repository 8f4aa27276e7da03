"""Comparison of a checkpoint with a model: names and shapes of the weights, classes and their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from rotated_atss.checkpoints.model_info import read_info
from rotated_atss.errors import UserError, count_of

Shapes = Mapping[str, tuple[int, ...]]
CLASS_COUNT_HINT = "another number of classes: name them with --classes"


def tensor_shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a state dict.

    Example:
        >>> import torch
        >>> tensor_shapes({"bias": torch.zeros(3)})
        {'bias': (3,)}
    """
    return {name: tuple(value.shape) for name, value in state.items()}


def check_state_dict_fits(
    stored: Shapes,
    expected: Shapes,
    *,
    where: object,
    model: str = "",
    hint: str = "give the config they were trained with",
    class_hint: str = CLASS_COUNT_HINT,
) -> None:
    """Raise an error unless a checkpoint has the weights of a model.

    Counters of batch norm (``num_batches_tracked``) can be missing, as in checkpoints of old PyTorch versions.

    Args:
        stored: Shapes of the checkpoint's weights by name.
        expected: Shapes of the model's weights by name.
        where: Path of the checkpoint, for the error.
        model: Name of the model or config, for the error.
        hint: What to do, for the error.
        class_hint: What to do if only the shapes of class layers differ, for the error.

    Raises:
        UserError: Names are missing or unexpected, or shapes differ. The message has the count and the first name of
            each kind.

    Example:
        >>> check_state_dict_fits({"fc.weight": (2, 3)}, {"fc.weight": (2, 3)}, where="a.pth")
        >>> check_state_dict_fits({}, {"fc.weight": (2, 3)}, where="a.pth")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: a.pth: these are weights of another model: 1 missing (fc 1; first: fc.weight) ...
    """
    missing = [name for name in expected if name not in stored and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in stored if name not in expected]
    differing = [name for name in expected if name in stored and stored[name] != expected[name]]
    faults = [_fault("missing", missing), _fault("unexpected", unexpected)]
    if differing:
        first = differing[0]
        faults.append(_fault("of another shape", differing, f", got {stored[first]}, expected {expected[first]}"))
    if any(faults):
        another = f"another model than {model}" if model else "another model"
        if differing and not (missing or unexpected) and all(map(is_class_layer, differing)):
            hint = class_hint
        raise UserError(f"these are weights of {another}: {'; '.join(filter(None, faults))}", where=where, hint=hint)


def is_class_layer(name: str) -> bool:
    """Return whether a weight belongs to a layer whose outputs are classes.

    Example:
        >>> is_class_layer("bbox_head.retina_cls.bias"), is_class_layer("bbox_head.cls_convs.0.conv.weight")
        (True, False)
    """
    return name.rpartition(".")[0].endswith("_cls")


def differing_class_layers(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return the names of classification-layer weights whose shapes differ between two state dicts.

    Example:
        >>> import torch
        >>> differing_class_layers({"fc_cls.bias": torch.zeros(2)}, {"fc_cls.bias": torch.zeros(3)})
        ['fc_cls.bias']
    """
    names = [name for name in expected if name in stored and is_class_layer(name)]
    return [name for name in names if stored[name].shape != expected[name].shape]


class PartialFit(NamedTuple):
    """Names of pretrained weights that match a model, and of those that do not.

    Attributes:
        matched: Names of weights that the model has with the same shape.
        missing: Names that only the model has.
        unused: Names that only the checkpoint has.
        reset: Names of weights of a classification layer of a different size, which keep their initial values.
    """

    matched: list[str]
    missing: list[str]
    unused: list[str]
    reset: list[str]

    def describe(self) -> str:
        """Return one line with the number of weights of each kind.

        Example:
            >>> PartialFit(["a.weight"], ["b.weight"], [], []).describe()
            '1 of 2 weights loaded; 1 missing (b 1; first: b.weight)'
        """
        total = len(self.matched) + len(self.missing) + len(self.reset)
        faults = [
            _fault("missing", self.missing),
            _fault("unused", self.unused),
            _fault("reinitialized", self.reset),
        ]
        return "; ".join([f"{len(self.matched)} of {total} weights loaded", *filter(None, faults)])


def compare_partially(
    stored: Shapes, expected: Shapes, *, where: object, reset_class_layer: bool = False
) -> PartialFit:
    """Match the weights of a pretrained checkpoint to a model.

    Args:
        stored: Shapes of the checkpoint's weights by name.
        expected: Shapes of the model's weights by name.
        where: Path of the checkpoint, for the error.
        reset_class_layer: Accept a class layer of another size, which then keeps its initial values.

    Raises:
        UserError: No weight matches, or the shape of a weight differs, unless ``reset_class_layer`` accepts it.

    Example:
        >>> compare_partially({"fc.weight": (2, 3)}, {"fc.weight": (2, 3), "fc.bias": (2,)}, where="a.pth").missing
        ['fc.bias']
    """
    expected = {name: shape for name, shape in expected.items() if not name.endswith("num_batches_tracked")}
    matched = [name for name in expected if stored.get(name) == expected[name]]
    differing = [name for name in expected if name in stored and stored[name] != expected[name]]
    reset = [name for name in differing if reset_class_layer and is_class_layer(name)]
    wrong = [name for name in differing if name not in reset]
    if wrong and all(is_class_layer(name) for name in wrong):
        got, needed = stored[wrong[0]], expected[wrong[0]]
        what = f"its class layer has another size: {wrong[0]} is {got}, expected {needed}"
        raise UserError(what, where=where, hint="use --reset-class-layer to reinitialize it, and only it")
    if wrong:
        details = f", got {stored[wrong[0]]}, expected {expected[wrong[0]]}"
        what = f"these are weights of another model: {_fault('of another shape', wrong, details)}"
        raise UserError(what, where=where, hint="give the config they were trained with")
    if not matched:
        example = f"first: {next(iter(stored))}" if stored else "the file has none"
        what = f"none of its {count_of(len(stored), 'weight')} ({example}) is one of the model's {len(expected)}"
        raise UserError(what, where=where, hint="give weights of this model")
    unused = [name for name in stored if name not in expected and not name.endswith("num_batches_tracked")]
    return PartialFit(matched, [name for name in expected if name not in stored], unused, reset)


def recorded_classes(content: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names stored in a checkpoint; None if there are none.

    They are read from the metadata of MMEngine or MMDetection 2.x, or else from this package's record of the model.

    Example:
        >>> recorded_classes({"meta": {"CLASSES": ("plane", "ship")}})
        ('plane', 'ship')
    """
    recorded = content.get("meta")
    meta: Mapping[str, Any] = recorded if isinstance(recorded, Mapping) else {}
    dataset_meta = meta.get("dataset_meta") or {}
    for names in (dataset_meta.get("classes"), dataset_meta.get("CLASSES"), meta.get("CLASSES")):
        if names:
            return (names,) if isinstance(names, str) else tuple(names)
    info = read_info(meta)
    return None if info is None else info.classes


def reorder_class_layer(
    state: Mapping[str, Tensor], stored: Sequence[str], expected: Sequence[str], *, where: object
) -> dict[str, Tensor]:
    """Reorder the outputs of the class layers from one order of classes to another.

    Args:
        state: Weights by name.
        stored: Class names in the order of the weights.
        expected: The same names in the order of the model's datasets.
        where: Path of the checkpoint, for the error.

    Raises:
        UserError: The names are not the same, or one occurs twice.

    Example:
        >>> import torch
        >>> state = {"head.fc_cls.bias": torch.tensor([1.0, 2.0])}
        >>> reorder_class_layer(state, ["plane", "ship"], ["ship", "plane"], where="a.pth")
        {'head.fc_cls.bias': tensor([2., 1.])}
    """
    if tuple(stored) == tuple(expected):
        return dict(state)
    if sorted(stored) != sorted(expected) or len(set(stored)) < len(stored):
        what = f"trained on the classes {', '.join(stored)}; the config has {', '.join(expected)}"
        raise UserError(what, where=where, hint=f"use --classes {','.join(stored)}")
    order = [list(stored).index(name) for name in expected]
    reordered = dict(state)
    for name, value in state.items():
        # other layers of such a name, as rpn_cls of a region proposal network, do not have outputs per class
        if is_class_layer(name) and value.ndim and value.shape[0] % len(order) == 0:
            by_class = value.reshape(-1, len(order), *value.shape[1:])  # (priors per location, classes, inputs, ...)
            reordered[name] = by_class[:, order].reshape(value.shape)
    return reordered


def count_by_prefix(names: Iterable[str]) -> str:
    """Return the number of weights of each part of a model as text.

    Example:
        >>> count_by_prefix(["backbone.conv1.weight", "backbone.conv1.bias", "neck.weight"])
        'backbone 2, neck 1'
    """
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{prefix} {count}" for prefix, count in counts.items())


def _fault(kind: str, names: list[str], details: str = "") -> str:
    return f"{len(names)} {kind} ({count_by_prefix(names)}; first: {names[0]}{details})" if names else ""
