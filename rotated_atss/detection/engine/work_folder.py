"""Reserve the work folder of a training run, so that no other run writes into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss.detection.engine.resume import CHECKPOINT_PATTERNS, LAST_CHECKPOINT_FILE
from rotated_atss.detection.engine.run_result import TRAIN_RESULT
from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock

TRAIN_LOCK = ".train.lock"  # exists in the work folder during a training run
_PATTERNS = (*CHECKPOINT_PATTERNS, "best_*.pth", LAST_CHECKPOINT_FILE)


def list_training_checkpoints(work_dir: str | Path) -> list[Path]:
    """Return the checkpoints in a work folder that training runs have written, and the file ``last_checkpoint``.

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
    """Create the work folder of a training run, and lock it while the block runs.

    All processes of the run must call this function. The first process creates and locks the folder. If it fails, all
    processes raise its error.

    Args:
        work_dir: The work folder.
        may_have_checkpoints: Whether the folder may contain checkpoints, because the run is resumed or replaces them.

    Raises:
        UserError: Another training run uses the folder, the folder contains checkpoints, or it cannot be written.

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
            # When one process ends, a launcher may end the others before they print the error. Therefore, all processes
            # wait here. The last process to leave the barrier can lose its connection to one that has already ended.
            with suppress(RuntimeError):
                barrier()
            raise errors[0]
        yield


def work_folder_error(error: OSError, folder: str | Path) -> UserError:
    """Convert an ``OSError`` from writing into a work folder to a ``UserError``.

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
    """Remove the checkpoints of an earlier run from the work folder when training starts.

    At that time, the data and the model are built, and the start weights are loaded and checked. If one of these steps
    fails, the old checkpoints are still there.
    """

    priority = "LOWEST"  # runs after the hook that checks the start weights

    def before_train(self, runner: Runner) -> None:
        """Remove the checkpoints, and the file with the result of the earlier run, which names them."""
        if is_main_process():
            for path in list_training_checkpoints(runner.work_dir):
                path.unlink()
            Path(runner.work_dir, TRAIN_RESULT).unlink(missing_ok=True)
