"""Reserve the work folder of a training run, so that no other run writes into it."""

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

TRAIN_LOCK = ".train.lock"  # exists in the work folder during a training run
_TRAINING_PATTERNS = (*CHECKPOINT_PATTERNS, "best_*.pth", LAST_CHECKPOINT_FILE)


def list_training_checkpoints(work_dir: str | Path) -> list[Path]:
    """Return the checkpoints that training has written into a work folder, and the file ``last_checkpoint``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("epoch_2.pth", "weights.pth", "last_checkpoint"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in list_training_checkpoints(folder)]
        ['epoch_2.pth', 'last_checkpoint']
    """
    return [path for pattern in _TRAINING_PATTERNS for path in sorted(Path(work_dir).glob(pattern))]


@contextmanager
def reserve_work_folder(work_dir: str | Path, may_have_checkpoints: bool) -> Iterator[None]:
    """Create the work folder of a training run, and lock it while the block runs.

    All processes of the run must call this function. The first process creates and locks the folder. If it fails, all
    processes raise its error.

    Args:
        work_dir: The work folder.
        may_have_checkpoints: Whether the folder may contain checkpoints of an earlier training run, because they are
            resumed from or replaced.

    Raises:
        UserError: Another training run has locked the folder, the folder contains checkpoints although it must not, or
            it cannot be written.

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
            # All processes wait here for each other: when the first process ends, a launcher may end the others before
            # they have received the error. The last process to leave the barrier may raise a RuntimeError, because a
            # process that has already ended has closed its connection.
            with suppress(RuntimeError):
                barrier()
            raise errors[0]
        yield


def work_folder_error(error: OSError, folder: str | Path) -> UserError:
    """Convert an error that occurred while writing into a work folder to an error for the user.

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
            f"the work folder must not contain checkpoints of an earlier training run, but has {checkpoints[0].name}",
            where=folder,
            hint="continue with --resume, choose another --work-dir, or replace them with --overwrite",
        )


class RemoveCheckpointsHook(Hook):
    """Remove the checkpoints of an earlier training run from the work folder when training starts.

    At that time, the data and the model have been built, and the start weights have been loaded and checked. If one of
    these steps fails, the checkpoints are therefore still there.
    """

    priority = "LOWEST"  # runs after the hook that checks the start weights

    def before_train(self, runner: Runner) -> None:
        """Remove the checkpoints, in the first process."""
        if is_main_process():
            for path in list_training_checkpoints(runner.work_dir):
                path.unlink()
