"""Hook that writes checkpoints and bounds their number on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from rotated_atss.detection.engine.resume import INTERRUPTED


@HOOKS.register_module()
class BoundedCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, which removes an old checkpoint only after the new one is complete.

    MMEngine removes the old one first, so a full disk or a killed process could leave none. The checkpoint that an
    interrupted run has written is removed after the next regular checkpoint.
    """

    file_backend: Any  # set by MMEngine's hook, which removes checkpoints with it

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        with self._deferred_removals():
            super()._save_checkpoint_with_step(runner, step, meta)
        if is_main_process():
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with self._deferred_removals():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _deferred_removals(self) -> Iterator[None]:
        """Collect the removals of this block and perform them at its end, if it raises no exception."""
        backend = self.file_backend
        self.file_backend = _KeepingBackend(backend)
        try:
            yield
            current = {str(self.last_ckpt), str(getattr(self, "best_ckpt_path", None))}
            for path in self.file_backend.removed:
                if str(path) not in current:
                    backend.remove(path)
        finally:
            self.file_backend = backend


class _KeepingBackend:
    """File backend of MMEngine that collects the files to remove instead of removing them."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.removed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        """Keep the file until the new checkpoint is complete."""
        self.removed.append(path)
