"""Hooks that store weights channels last, remove functions from checkpoints, and check the number of classes.

``ChannelsLastHook`` is registered, because configs name it. The other two are added to every run by ``runner_setup``.
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
        """Convert the weights before training and testing."""
        store_channels_last(runner.model)

    before_test = before_train


class StripCallablesHook(Hook):
    """Remove functions from the scheduler states of a checkpoint.

    The state of a one-cycle schedule contains functions. For safety, this package loads no checkpoint with functions.
    When training is resumed, the functions are created again from the config.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remove the functions before the checkpoint is written."""
        states = checkpoint.get("param_schedulers")
        if isinstance(states, dict):  # several optimizers: a list of states per optimizer
            checkpoint["param_schedulers"] = {name: _without_functions(of_one) for name, of_one in states.items()}
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
        names = getattr(dataset, "metainfo", {}).get("classes")
        if num_model_classes is not None and names is not None and len(names) != num_model_classes:
            raise UserError(
                f"the model has {count_of(num_model_classes, 'class')}, the dataset {len(names)} ({', '.join(names)})",
                hint="set model.bbox_head.num_classes and the classes of every dataset to the same number",
            )
