"""Check the weights that a training run starts from.

They come from the checkpoint ``load_from``, and from the weight files of pretrained parts of the model (``init_cfg``).
"""

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

    Without this hook, MMEngine would load only the weights that fit, without an error, and train the others from random
    values.

    Args:
        path: The checkpoint, for messages.
        reset_class_layer: Accept a checkpoint that was trained on other classes. The class layer of the model then
            keeps its initial values.
    """

    def __init__(self, path: str, reset_class_layer: bool = False) -> None:
        self.path, self.reset_class_layer = path, reset_class_layer

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check that the weights fit the model, and reorder the class layer to the order of the config's classes.

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
        # If the class layer has another size than the model's, its weights are already in fit.reset. A class layer of
        # the right size may still have been trained on other classes, or on the same classes in another order.
        if not fit.reset and trained_classes and classes:
            if self.reset_class_layer and sorted(trained_classes) != sorted(classes):
                # The class layer is recognized by its name, for example retina_cls or atss_cls.
                class_weights = [name for name in fit.matched if name.rpartition(".")[0].endswith("_cls")]
                other_weights = [name for name in fit.matched if name not in class_weights]
                fit = fit._replace(matched=other_weights, reset=class_weights)
            else:  # reorder_class_layer raises an error if the classes differ in more than their order
                state = reorder_class_layer(state, trained_classes, classes, where=self.path)
        log = runner.logger.warning if fit.missing or fit.reset else runner.logger.info
        log(f"{self.path}: {fit.describe()}")
        checkpoint["state_dict"] = {name: state[name] for name in fit.matched}


def check_pretrained_parts(model: nn.Module) -> list[str]:
    """Check the weight files of model parts with ``init_cfg=dict(type="Pretrained")``, before training.

    Without this check, MMEngine would load the weights that fit and leave the others at random values, even in frozen
    layers of a backbone. If the file has the weights of a whole detector, only its backbone is used: the names of these
    weights start with ``backbone.``.

    Args:
        model: The detector without wrappers. If a file has the weights of a whole detector, ``prefix`` is set in the
            ``init_cfg`` of its part, in place.

    Returns:
        One line per file in which some weights of its part are missing.

    Raises:
        UserError: A file has none of the weights of its part.

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
            # Unused weights are not reported, because the file of a whole detector always has some.
            lines.append(f"{path} as {name or 'model'}: {fit._replace(unused=[]).describe()}")
    return lines


def reject_other_classes(content: Mapping[str, Any], classes: tuple[str, ...] | None, path: object) -> None:
    """Raise an error if the classes of a resumed run, or their order, differ from those recorded in its checkpoint.

    Args:
        content: Content of the checkpoint.
        classes: Classes of the config; None if it has none.
        path: Path of the checkpoint, for the message.

    Example:
        >>> reject_other_classes({"meta": {"CLASSES": ("plane",)}}, ("plane",), "a.pth")
    """
    trained_classes = recorded_classes(content)
    if trained_classes and classes and tuple(trained_classes) != tuple(classes):
        what = f"trained on the classes {', '.join(trained_classes)}; the config has {', '.join(classes)}"
        hint = f"resume with --classes {','.join(trained_classes)}, or start a new training run with --init-from"
        raise UserError(what, where=path, hint=hint)
