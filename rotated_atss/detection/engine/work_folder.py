"""Reserve the work folder of a training, so that it mixes with no other training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mmengine.dist import barrier, broadcast_object_list, is_main_process

from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock

TRAIN_LOCK = ".train.lock"  # exists in the work folder while a training runs


@contextmanager
def reserve_work_folder(work_dir: str | Path) -> Iterator[None]:
    """Create and lock the work folder of a training while the block runs.

    The first process of a training does this; all processes must call this function, and raise the same error.

    Args:
        work_dir: The work folder.

    Raises:
        UserError: Another training runs in the folder, or it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with reserve_work_folder(folder):
        ...         [path.name for path in Path(folder).iterdir()]
        ['.train.lock']
    """
    with ExitStack() as stack:
        errors: list[UserError | None] = [None]
        if is_main_process():
            try:
                _lock(stack, Path(work_dir))
            except UserError as error:
                errors = [error]
        broadcast_object_list(errors)
        if errors[0] is not None:
            barrier()  # when the first process ends, a launcher may end the others before they print the error
            raise errors[0]
        yield


def _lock(stack: ExitStack, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"cannot write here: {error.strerror or error}"
        raise UserError(what, where=error.filename or folder, hint="choose another --work-dir") from error
    stack.enter_context(run_lock(folder / TRAIN_LOCK))
