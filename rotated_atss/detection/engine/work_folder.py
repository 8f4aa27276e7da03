"""Reserve the work folder of a training, so that it mixes with no other training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss.detection.engine.resume import CHECKPOINT_PATTERNS, LAST_CHECKPOINT_FILE
from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock

TRAIN_LOCK = ".train.lock"  # exists in the work folder while a training runs
_PATTERNS = (*CHECKPOINT_PATTERNS, "best_*.pth", LAST_CHECKPOINT_FILE)


def list_training_checkpoints(work_dir: str | Path) -> list[Path]:
    """Return the files of a work folder that a training writes as checkpoints, and ``last_checkpoint``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("epoch_2.pth", "weights.pth", "last_checkpoint"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in list_training_checkpoints(folder)]
        ['epoch_2.pth', 'last_checkpoint']
    """
    return [path for pattern in _PATTERNS for path in sorted(Path(work_dir).glob(pattern))]


@contextmanager
def reserve_work_folder(work_dir: str | Path, may_have_checkpoints: bool) -> Iterator[None]:
    """Create and lock the work folder of a training while the block runs.

    The first process of a training does this; all processes must call this function, and raise the same error.

    Args:
        work_dir: The work folder.
        may_have_checkpoints: Whether the folder may contain checkpoints: those of a resumed training, or those that
            the training replaces.

    Raises:
        UserError: Another training runs in the folder, the folder contains checkpoints, or it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with reserve_work_folder(folder, may_have_checkpoints=False):
        ...         [path.name for path in Path(folder).iterdir()]
        ['.train.lock']
    """
    with ExitStack() as stack:
        errors: list[UserError | None] = [None]
        if is_main_process():
            try:
                _lock_and_check(stack, Path(work_dir), may_have_checkpoints)
            except UserError as error:
                errors = [error]
        broadcast_object_list(errors)
        if errors[0] is not None:
            # When the first process ends, a launcher may end the others before they print the error, so it waits for
            # them. A process that leaves the barrier last can lose its connection to one that has already ended.
            with suppress(RuntimeError):
                barrier()
            raise errors[0]
        yield


def work_folder_error(error: OSError, folder: str | Path) -> UserError:
    """Convert an error of writing into a work folder to an error for the user.

    Example:
        >>> str(work_folder_error(OSError(30, "Read-only file system"), "work"))
        'work: cannot write here: Read-only file system (choose another --work-dir)'
    """
    what = f"cannot write here: {error.strerror or error}"
    return UserError(what, where=error.filename or folder, hint="choose another --work-dir")


def _lock_and_check(stack: ExitStack, folder: Path, may_have_checkpoints: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise work_folder_error(error, folder) from error
    stack.enter_context(run_lock(folder / TRAIN_LOCK))
    checkpoints = [] if may_have_checkpoints else list_training_checkpoints(folder)
    if checkpoints:
        raise UserError(
            f"the work folder must contain no checkpoints of an earlier training, got {checkpoints[0].name}",
            where=folder,
            hint="continue with --resume, choose another --work-dir, or replace them with --overwrite",
        )


class RemoveCheckpointsHook(Hook):
    """Remove the checkpoints of an earlier training from the work folder when the training starts.

    At that time, data and model are built and the start weights are loaded and checked, so that an error in them
    leaves the checkpoints.
    """

    priority = "LOWEST"  # after the hook that checks the start weights

    def before_train(self, runner: Runner) -> None:
        """Remove the checkpoints, in the first process."""
        if is_main_process():
            for path in list_training_checkpoints(runner.work_dir):
                path.unlink()
