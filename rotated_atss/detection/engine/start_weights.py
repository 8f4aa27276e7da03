"""Check the initial weights of a training run: ``load_from``, and pretrained parts of the model (``init_cfg``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from rotated_atss.checkpoints.compatibility import (
    match_pretrained_weights,
    recorded_classes,
    reorder_class_layer,
    tensor_shapes,
)
from rotated_atss.checkpoints.read_file import state_dict_of
from rotated_atss.detection.engine.class_names import config_classes
from rotated_atss.detection.engine.network import unwrap_model
from rotated_atss.errors import UserError

BACKBONE_PREFIX = "backbone."


class StartWeightsHook(Hook):
    """Check the weights of ``load_from`` before they are loaded, and log how many of them are used.

    Without this hook, MMEngine would silently load the weights that fit, and leave all other parameters of the model at
    random values.

    Args:
        path: The checkpoint, for messages.
        reset_class_layer: Accept a checkpoint with other classes. The class layer of the model then keeps its initial
            values.
    """

    def __init__(self, path: str, reset_class_layer: bool = False) -> None:
        self.path, self.reset_class_layer = path, reset_class_layer

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the weights with the model, and put the class layer in the order of the config's classes.

        Raises:
            UserError: The weights do not fit the model
                (:func:`rotated_atss.checkpoints.compatibility.match_pretrained_weights`), or the class layer has the
                right size but was trained on other classes.
        """
        state, expected = state_dict_of(checkpoint), tensor_shapes(unwrap_model(runner.model).state_dict())
        fit = match_pretrained_weights(
            tensor_shapes(state), expected, where=self.path, reset_class_layer=self.reset_class_layer
        )
        trained_classes, classes = recorded_classes(checkpoint), config_classes(runner.cfg, "train_dataloader")
        # A class layer of another size is already in fit.reset. A class layer of the right size is compared by its
        # class names, because it may have been trained on other classes, or on the same classes in another order.
        if not fit.reset and trained_classes and classes:
            if self.reset_class_layer and sorted(trained_classes) != sorted(classes):
                # The class layer is recognized by its name, for example retina_cls or atss_cls.
                class_weights = [name for name in fit.matched if name.rpartition(".")[0].endswith("_cls")]
                other_weights = [name for name in fit.matched if name not in class_weights]
                fit = fit._replace(matched=other_weights, reset=class_weights)
            else:  # reorder_class_layer raises an error if the class names themselves differ
                state = reorder_class_layer(state, trained_classes, classes, where=self.path)
        log = runner.logger.warning if fit.missing or fit.reset else runner.logger.info
        log(f"{self.path}: {fit.describe()}")
        checkpoint["state_dict"] = {name: state[name] for name in fit.matched}


def check_pretrained_parts(model: nn.Module) -> list[str]:
    """Check the weight files in ``init_cfg=dict(type="Pretrained", checkpoint=...)`` of all parts of a model.

    Without this check, MMEngine would load the weights that fit and leave all other parameters at random values, even
    in frozen layers of a backbone. If weights in a file have the prefix ``backbone.``, the file contains a whole
    detector, and the weights of its backbone are used.

    Args:
        model: The detector without wrappers. The ``prefix`` of an ``init_cfg`` is set in place.

    Returns:
        One line per file that lacks weights of its part.

    Raises:
        UserError: A file has no weight of its part.

    Example:
        >>> check_pretrained_parts(nn.Linear(2, 1))
        []
    """
    lines = []
    for name, part in model.named_modules():
        init_cfg: Any = getattr(part, "init_cfg", None)
        if not isinstance(init_cfg, dict) or init_cfg.get("type") != "Pretrained" or not init_cfg.get("checkpoint"):
            continue
        path = init_cfg["checkpoint"]
        file_shapes = tensor_shapes(state_dict_of(CheckpointLoader.load_checkpoint(path, map_location="cpu")))
        expected_shapes = tensor_shapes(part.state_dict())
        prefix = init_cfg.get("prefix") or ""
        has_backbone = any(key.startswith(BACKBONE_PREFIX) for key in file_shapes)
        if not prefix and has_backbone and not set(file_shapes) & set(expected_shapes):
            prefix = init_cfg["prefix"] = BACKBONE_PREFIX
        part_shapes = {key[len(prefix) :]: shape for key, shape in file_shapes.items() if key.startswith(prefix)}
        fit = match_pretrained_weights(part_shapes, expected_shapes, where=f"{path} as {name or 'model'}")
        if fit.missing:
            # Unused weights are not reported, because a file of a whole detector always contains some.
            lines.append(f"{path} as {name or 'model'}: {fit._replace(unused=[]).describe()}")
    return lines


def reject_other_classes(content: Mapping[str, Any], classes: tuple[str, ...] | None, path: object) -> None:
    """Raise an error unless a resumed training run has the classes of its checkpoint, in the same order.

    Example:
        >>> reject_other_classes({"meta": {"CLASSES": ("plane",)}}, ("plane",), "a.pth")
    """
    trained_classes = recorded_classes(content)
    if trained_classes and classes and tuple(trained_classes) != tuple(classes):
        what = f"trained on the classes {', '.join(trained_classes)}; the config has {', '.join(classes)}"
        hint = f"resume with --classes {','.join(trained_classes)}, or start a new training run with --init-from"
        raise UserError(what, where=path, hint=hint)
