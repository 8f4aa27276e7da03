"""Hook that writes checkpoints and limits their number on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from rotated_atss.detection.engine.resume import INTERRUPTED_CHECKPOINT


@HOOKS.register_module()
class BoundedCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, but an old checkpoint is removed only after the new one is complete.

    MMEngine removes the old checkpoint first, so a full disk or a killed process could leave no checkpoint. An
    interrupted run writes an extra checkpoint before it stops. This hook removes it after the next regular checkpoint.

    MMEngine stores the absolute path of the best checkpoint in each checkpoint. A training run that resumes in a copy
    of a work folder uses the best checkpoint of the copy, and removes no checkpoint from the original folder.
    """

    file_backend: Any  # set by MMEngine's hook, which calls file_backend.remove() to remove checkpoints

    def before_train(self, runner: Runner) -> None:
        """Replace the path of each best checkpoint by the file of the same name in this work folder, if it exists."""
        for key, value in list(runner.message_hub.runtime_info.items()):
            if key.startswith("best_ckpt") and value:
                path = Path(runner.work_dir, Path(value).name)
                if path.is_file():
                    runner.message_hub.update_info(key, str(path))
        super().before_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        with self._deferred_removals():
            super()._save_checkpoint_with_step(runner, step, meta)
        if is_main_process():
            Path(runner.work_dir, INTERRUPTED_CHECKPOINT).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with self._deferred_removals():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _deferred_removals(self) -> Iterator[None]:
        """Defer removals of files to the end of this block; an exception in the block cancels them."""
        backend = self.file_backend
        self.file_backend = _DeferringBackend(backend)
        try:
            yield
            # The new checkpoint can have the name of an old one, for example when a resumed run repeats a validation.
            # MMEngine's hook has set the paths of the new checkpoints in the block.
            paths_to_keep = {str(self.last_ckpt), str(getattr(self, "best_ckpt_path", None))}
            for path in self.file_backend.paths_to_remove:
                # If the run was resumed from another work folder, the best checkpoint in that folder is kept.
                if str(path) not in paths_to_keep and Path(path).parent == Path(self.out_dir):
                    backend.remove(path)
        finally:
            self.file_backend = backend


class _DeferringBackend:
    """File backend of MMEngine that collects the files to remove instead of removing them."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.paths_to_remove: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        """Note the file for removal after the new checkpoint is complete."""
        self.paths_to_remove.append(path)
