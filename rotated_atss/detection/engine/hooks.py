"""Hooks that store weights channels last, remove functions from checkpoints, and check the datasets' class counts.

``ChannelsLastHook`` is registered so that configs can request it by name. The other two hooks are added to every run by
``runner_setup``.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from rotated_atss.detection.engine.network import num_classes, store_channels_last
from rotated_atss.errors import UserError, count_of


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Store the network's weights channels last, for faster convolutions on CPUs and on GPUs with tensor cores."""

    def before_train(self, runner: Runner) -> None:
        """Convert the weights before a run starts; also used as ``before_test``."""
        store_channels_last(runner.model)

    before_test = before_train


class StripCallablesHook(Hook):
    """Remove functions from the scheduler states of a checkpoint.

    The state of a one-cycle schedule contains functions. For security, this package refuses to load checkpoints that
    contain functions, so such a checkpoint could not be resumed. The functions need not be saved, because they are
    created again from the config when training is resumed.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remove the functions before the checkpoint is written."""
        states = checkpoint.get("param_schedulers")
        if isinstance(states, dict):  # with several optimizers, a dict from optimizer name to a list of states
            checkpoint["param_schedulers"] = {
                optimizer: _without_functions(optimizer_states) for optimizer, optimizer_states in states.items()
            }
        elif states is not None:
            checkpoint["param_schedulers"] = _without_functions(states)


def _without_functions(states: Sequence[dict]) -> list[dict]:
    return [{name: value for name, value in state.items() if not callable(value)} for state in states]


class ClassCountHook(Hook):
    """Check that each dataset has as many classes as the model.

    Without this check, objects with a class index beyond the model's classes would be trained as background.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training dataset."""
        self._check(runner, runner.train_dataloader.dataset)

    def before_val(self, runner: Runner) -> None:
        """Check the validation dataset."""
        self._check(runner, runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Check the test dataset."""
        self._check(runner, runner.test_dataloader.dataset)

    @staticmethod
    def _check(runner: Runner, dataset: Dataset) -> None:
        num_model_classes = num_classes(runner.model)
        class_names = getattr(dataset, "metainfo", {}).get("classes")
        if num_model_classes is None or class_names is None:
            return
        if len(class_names) != num_model_classes:
            model_count, dataset_count = count_of(num_model_classes, "class"), count_of(len(class_names), "class")
            raise UserError(
                f"the model has {model_count}, but the dataset has {dataset_count} ({', '.join(class_names)})",
                hint="configure the same number of classes for model.bbox_head and for all datasets",
            )
