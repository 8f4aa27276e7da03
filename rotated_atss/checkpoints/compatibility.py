"""Compare a checkpoint with a model by the names and shapes of the weights and by the order of the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from rotated_atss.checkpoints.model_info import read_info
from rotated_atss.errors import UserError, count_of

Shapes = Mapping[str, tuple[int, ...]]
CLASS_COUNT_HINT = "the number of classes differs: name the classes with --classes"


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
    """Check that the weights of a checkpoint have the names and shapes that a model expects.

    The counters of batch norm (``num_batches_tracked``) can be missing, because old PyTorch versions did not save them.

    Args:
        stored: Shapes of the checkpoint's weights by name.
        expected: Shapes of the model's weights by name.
        where: Path of the checkpoint, for the error.
        model: Name of the model or config, for the error.
        hint: What the error advises the user to do.
        class_hint: What the error advises instead if only shapes of class layers differ.

    Raises:
        UserError: Names are missing or unexpected, or shapes differ. For each of these kinds of differences, the
            message gives the number of weights in each part of the model and the first name.

    Example:
        >>> check_state_dict_fits({"fc.weight": (2, 3)}, {"fc.weight": (2, 3)}, where="a.pth")
        >>> check_state_dict_fits({}, {"fc.weight": (2, 3)}, where="a.pth")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: a.pth: these are weights of another model: 1 missing (fc 1; first: fc.weight) ...
    """
    missing = [name for name in expected if name not in stored and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in stored if name not in expected]
    mismatched = [name for name in expected if name in stored and stored[name] != expected[name]]
    differences = []
    if missing:
        differences.append(_describe_names("missing", missing))
    if unexpected:
        differences.append(_describe_names("unexpected", unexpected))
    if mismatched:
        first = mismatched[0]
        shapes = f", got {stored[first]}, expected {expected[first]}"
        differences.append(_describe_names("of another shape", mismatched, shapes))
    if differences:
        other_model = f"a model other than {model}" if model else "another model"
        only_class_layers_differ = not missing and not unexpected and all(map(is_class_layer, mismatched))
        if only_class_layers_differ:
            hint = class_hint
        raise UserError(f"these are weights of {other_model}: {'; '.join(differences)}", where=where, hint=hint)


def is_class_layer(name: str) -> bool:
    """Return whether a weight belongs to a class layer, the last layer of a classification branch.

    Example:
        >>> is_class_layer("bbox_head.retina_cls.bias"), is_class_layer("bbox_head.cls_convs.0.conv.weight")
        (True, False)
    """
    return name.rpartition(".")[0].endswith("_cls")


def differing_class_layers(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return the names of class-layer weights whose shapes differ between two state dicts.

    Example:
        >>> import torch
        >>> differing_class_layers({"fc_cls.bias": torch.zeros(2)}, {"fc_cls.bias": torch.zeros(3)})
        ['fc_cls.bias']
    """
    names = [name for name in expected if name in stored and is_class_layer(name)]
    return [name for name in names if stored[name].shape != expected[name].shape]


class PartialFit(NamedTuple):
    """Names of the weights of a pretrained checkpoint and a model, grouped by whether the model can load them.

    Attributes:
        matched: Names of weights that have the same shape in the checkpoint and in the model.
        missing: Names of weights that only the model has.
        unused: Names of weights that only the checkpoint has.
        reset: Names of class-layer weights whose shapes differ. In the model, these keep their initial values.
    """

    matched: list[str]
    missing: list[str]
    unused: list[str]
    reset: list[str]

    def describe(self) -> str:
        """Return one line with the number of matched, missing, unused and reset weights.

        Example:
            >>> PartialFit(["a.weight"], ["b.weight"], [], []).describe()
            '1 of 2 weights loaded; 1 missing (b 1; first: b.weight)'
        """
        total = len(self.matched) + len(self.missing) + len(self.reset)
        parts = [f"{len(self.matched)} of {total} weights loaded"]
        for kind, names in (("missing", self.missing), ("unused", self.unused), ("reinitialized", self.reset)):
            if names:
                parts.append(_describe_names(kind, names))
        return "; ".join(parts)


def match_pretrained_weights(
    stored: Shapes, expected: Shapes, *, where: object, reset_class_layer: bool = False
) -> PartialFit:
    """Match the weights of a pretrained checkpoint to a model.

    The counters of batch norm (``num_batches_tracked``) are ignored, because old PyTorch versions did not save them.

    Args:
        stored: Shapes of the checkpoint's weights by name.
        expected: Shapes of the model's weights by name.
        where: Path of the checkpoint, for the error.
        reset_class_layer: Accept a class layer of a different size. The model then keeps the initial values of its
            class layer.

    Raises:
        UserError: No weight matches, or a weight has another shape in the model. With ``reset_class_layer``, the
            shapes of class layers may differ.

    Example:
        >>> model_shapes = {"fc.weight": (2, 3), "fc.bias": (2,)}
        >>> match_pretrained_weights({"fc.weight": (2, 3)}, model_shapes, where="a.pth").missing
        ['fc.bias']
    """
    expected = {name: shape for name, shape in expected.items() if not name.endswith("num_batches_tracked")}
    matched = [name for name in expected if stored.get(name) == expected[name]]
    mismatched = [name for name in expected if name in stored and stored[name] != expected[name]]
    reset = [name for name in mismatched if reset_class_layer and is_class_layer(name)]
    rejected = [name for name in mismatched if name not in reset]
    if rejected:
        first = rejected[0]
        if all(is_class_layer(name) for name in rejected):
            what = f"its class layer has another size: {first} has shape {stored[first]}, expected {expected[first]}"
            raise UserError(what, where=where, hint="use --reset-class-layer to reinitialize only this layer")
        shapes = f", got {stored[first]}, expected {expected[first]}"
        what = f"these are weights of another model: {_describe_names('of another shape', rejected, shapes)}"
        raise UserError(what, where=where, hint="give the config they were trained with")
    if not matched:
        example = f"first: {next(iter(stored))}" if stored else "the file has none"
        what = f"none of its {count_of(len(stored), 'weight')} ({example}) is one of the model's {len(expected)}"
        raise UserError(what, where=where, hint="give weights of this model")
    unused = [name for name in stored if name not in expected and not name.endswith("num_batches_tracked")]
    return PartialFit(matched, [name for name in expected if name not in stored], unused, reset)


def recorded_classes(content: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names recorded in a checkpoint, or None if it has no class names.

    The names are read from the entries that MMEngine or MMDetection 2.x write to ``meta``. If ``meta`` has no such
    entry, the names are read from the model metadata of this package, which is also in ``meta``.

    Example:
        >>> recorded_classes({"meta": {"CLASSES": ("plane", "ship")}})
        ('plane', 'ship')
    """
    content_meta = content.get("meta")
    meta: Mapping[str, Any] = content_meta if isinstance(content_meta, Mapping) else {}
    dataset_meta = meta.get("dataset_meta") or {}
    for names in (dataset_meta.get("classes"), dataset_meta.get("CLASSES"), meta.get("CLASSES")):
        if names:
            return (names,) if isinstance(names, str) else tuple(names)
    info = read_info(meta)
    return None if info is None else info.classes


def reorder_class_layer(
    state: Mapping[str, Tensor], stored: Sequence[str], expected: Sequence[str], *, where: object
) -> dict[str, Tensor]:
    """Reorder the outputs of the class layers from the checkpoint's order of classes to the order of the datasets.

    Args:
        state: Weights by name.
        stored: Class names in the order of the checkpoint's outputs.
        expected: The same names in the order of the datasets that the model is used with.
        where: Path of the checkpoint, for the error.

    Raises:
        UserError: The two sequences do not have the same names, or a name occurs twice.

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
        # By its name, rpn_cls of a region proposal network also counts as a class layer, but its outputs are not per
        # class. It is left as it is, because its number of outputs is usually not a multiple of the number of classes.
        if is_class_layer(name) and value.ndim and value.shape[0] % len(order) == 0:
            # Split the outputs into (priors per location, classes).
            outputs_by_prior_and_class = value.reshape(-1, len(order), *value.shape[1:])
            reordered[name] = outputs_by_prior_and_class[:, order].reshape(value.shape)
    return reordered


def count_by_prefix(names: Iterable[str]) -> str:
    """Format how many of the named weights each part of a model has. Parts are, for example, backbone and neck.

    Example:
        >>> count_by_prefix(["backbone.conv1.weight", "backbone.conv1.bias", "neck.weight"])
        'backbone 2, neck 1'
    """
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{prefix} {count}" for prefix, count in counts.items())


def _describe_names(kind: str, names: list[str], details: str = "") -> str:
    return f"{len(names)} {kind} ({count_by_prefix(names)}; first: {names[0]}{details})"
