"""Read ``.pth`` files without running code from them.

A ``.pth`` file is a pickle, and unpickling calls the functions that the file names. ``torch.load(weights_only=True)``
calls only functions on an allow-list. Checkpoints of MMEngine need further names, which :data:`ALLOWED_GLOBALS` adds:

- for training logs: NumPy's arrays and scalars, ``HistoryBuffer`` and its methods
- for learning rate schedules: the one-cycle schedules of MMEngine and their methods

Except for ``slice``, each of these names is replaced by a class or function of this module that only stores plain
values. Therefore loading a file creates no object of the original classes, and a ``getattr`` in the file reads no
attribute.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from rotated_atss.checkpoints.zip_check import check_checkpoint_file, name_of
from rotated_atss.errors import UserError

_ALLOWED_DTYPE = re.compile(r"[?biufc]\d{0,2}|[US]\d{1,4}")  # NumPy's codes for numbers and text; "O" is for objects
# Checkpoints refer to these methods of mmengine.logging.HistoryBuffer and of MMEngine's one-cycle schedule.
_STATISTICS = ("min", "max", "current", "mean")
_SCHEDULE_FUNCTIONS = ("_annealing_cos", "_annealing_linear")
_MAX_LENGTH = 1_000_000  # default of HistoryBuffer


class LogHistory:
    """The values of an MMEngine ``HistoryBuffer``.

    Attributes:
        log_history: (N,) logged values.
        count_history: (N,) number of samples of each value.
        max_length: Maximum N.
    """

    __slots__ = ("count_history", "log_history", "max_length")
    log_history: np.ndarray
    count_history: np.ndarray
    max_length: int

    def __new__(cls, *_: object) -> LogHistory:  # unpickling does not call __init__
        """Create an empty log."""
        history = super().__new__(cls)
        history.log_history, history.count_history, history.max_length = np.zeros(0), np.zeros(0), _MAX_LENGTH
        return history

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Store the values of a pickled ``HistoryBuffer``, but not the methods to which it refers."""
        for name in ("_log_history", "_count_history"):
            if not isinstance(state[name], _Array):
                raise UnpicklingError(f"{name} of a log is not an array")
        self.log_history, self.count_history = state["_log_history"].value, state["_count_history"].value
        max_length = state.get("_max_length", state.get("max_length"))
        if type(max_length) is int:
            self.max_length = max_length


class _DType:
    """Placeholder for a NumPy dtype of numbers or text."""

    __slots__ = ("dtype",)
    dtype: np.dtype

    def __new__(cls, code: Any = "", *_: object) -> _DType:
        if not isinstance(code, str) or not _ALLOWED_DTYPE.fullmatch(code):
            raise UnpicklingError(f"dtype {code!r:.40} is neither numeric nor text")
        instance = super().__new__(cls)
        instance.dtype = np.dtype(code)
        return instance

    def __setstate__(self, state: tuple) -> None:
        # NumPy's state: version, byte order, subdtype, names, fields, ...
        if any(part is not None for part in state[2:5]):
            raise UnpicklingError("structured dtypes are not read")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Placeholder for a NumPy array of numbers or text."""

    __slots__ = ("value",)
    value: np.ndarray

    def __new__(cls, *_: object) -> _Array:
        instance = super().__new__(cls)
        instance.value = np.zeros(0)
        return instance

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _DType) or not isinstance(data, bytes):
            raise UnpicklingError("arrays of Python objects are not read")
        order: Any = "F" if is_fortran else "C"
        # The result of frombuffer() is read-only, the copy is not. order="K" keeps the memory layout.
        self.value = np.frombuffer(data, dtype.dtype).reshape(shape, order=order).copy(order="K")


class _Schedule:
    """Placeholder for a one-cycle schedule. Its state is not read, because a resumed run rebuilds the schedule."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Function:
    """Placeholder for a method of a log or schedule."""

    __slots__ = ()


def _reconstruct_array(array_type: Any, *_: object) -> _Array:
    """Replace NumPy's function that creates an empty array, which ``__setstate__`` then fills."""
    if array_type is not _Array:
        raise UnpicklingError("subclasses of arrays are not read")
    return _Array()


def _build_scalar(dtype: Any, data: Any = b"") -> Any:
    """Replace NumPy's function that creates a scalar from its bytes."""
    if not isinstance(dtype, _DType) or not isinstance(data, bytes):
        raise UnpicklingError("scalars that are Python objects are not read")
    return np.frombuffer(data, dtype.dtype, count=1)[0]


def _placeholder_getattr(owner: Any, name: Any) -> _Function:
    """Replace ``getattr``, by which files refer to methods of logs and schedules; return a placeholder."""
    allowed_names: tuple[str, ...] = ()
    if owner is LogHistory:
        allowed_names = _STATISTICS
    elif owner is _Schedule:
        allowed_names = _SCHEDULE_FUNCTIONS
    if not isinstance(name, str) or name not in allowed_names:
        # torch's wording, by which read_file.py recognizes a refused name
        raise UnpicklingError("GLOBAL builtins.getattr was not an allowed global")
    return _Function()


# Names that a file may use in addition to those that torch allows with weights_only=True, and what replaces them.
ALLOWED_GLOBALS: dict[str, Any] = {
    "builtins.getattr": _placeholder_getattr,
    "builtins.slice": slice,
    "mmengine.logging.history_buffer.HistoryBuffer": LogHistory,
    "mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler": _Schedule,
    "mmengine.optim.scheduler.lr_scheduler.OneCycleLR": _Schedule,
    "numpy.dtype": _DType,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _reconstruct_array,  # NumPy 1
    "numpy.core.multiarray.scalar": _build_scalar,
    "numpy._core.multiarray._reconstruct": _reconstruct_array,  # NumPy 2
    "numpy._core.multiarray.scalar": _build_scalar,
}


def load_restricted(
    file: str | Path | IO[bytes],
    map_location: Any = "cpu",
    convert_history: Callable[[LogHistory], Any] = lambda history: history,
) -> Any:
    """Load a ``.pth`` file of tensors, plain values, NumPy arrays and MMEngine logs.

    Args:
        file: Path, or open binary file.
        map_location: As for :func:`torch.load`.
        convert_history: Function whose result replaces each log history in the content.

    Returns:
        The content. Its tensors are dense, and the file contains the values of each of them.

    Raises:
        pickle.UnpicklingError: The file names a class or function that is not allowed.
        UserError: The file fails :func:`check_checkpoint_file`; a tensor is sparse, quantized or incomplete; or the
            tensors together are larger than the tensor data that the file contains.
        Exception: The file is damaged. The unpickler can raise any exception then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"meta": {"mean": np.float64(0.5)}}, f"{folder}/a.pth")
        ...     load_restricted(f"{folder}/a.pth")
        {'meta': {'mean': np.float64(0.5)}}
    """
    max_bytes = check_checkpoint_file(file)
    registered_globals = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()  # names that other packages have allowed are not allowed here
    try:
        with torch.serialization.safe_globals([(value, name) for name, value in ALLOWED_GLOBALS.items()]):
            content = torch.load(file, map_location=map_location, weights_only=True)
    finally:
        torch.serialization.add_safe_globals(registered_globals)
    return _ContentCleaner(file, max_bytes, convert_history).clean(content)


class _ContentCleaner:
    """Replace the placeholders of this module in loaded content, and check its tensors.

    Args:
        file: The file, for errors.
        max_bytes: Limit of the total size of the tensors in bytes. It is the size of the tensor data in the file.
        convert_history: As for :func:`load_restricted`.
    """

    def __init__(
        self, file: str | Path | IO[bytes], max_bytes: int, convert_history: Callable[[LogHistory], Any]
    ) -> None:
        self._file, self._max_bytes, self._convert_history = file, max_bytes, convert_history
        self._storage_addresses: set[int] = set()  # Tensors can share a storage, which is counted once.
        self._total_bytes = 0  # total size of the storages counted so far
        # Maps the id of each original container to (original, cleaned). The reference to the original keeps it alive,
        # because Python would otherwise reuse its id for another object.
        self._cleaned: dict[int, tuple[Any, Any]] = {}

    def clean(self, value: Any) -> Any:
        """Return a value without placeholders. Dictionaries and lists are changed in place."""
        if isinstance(value, Tensor):
            self._check_tensor(value)
        elif isinstance(value, _Array):
            return value.value
        elif isinstance(value, LogHistory):
            return self._convert_history(value)
        elif isinstance(value, (_DType, _Schedule)):
            return None  # no reader of a checkpoint needs their content
        elif isinstance(value, (dict, list)) or type(value) is tuple:
            if id(value) not in self._cleaned:
                self._clean_container(value)
            return self._cleaned[id(value)][1]
        return value

    def _clean_container(self, value: dict | list | tuple) -> None:
        if isinstance(value, tuple):
            self._cleaned[id(value)] = value, tuple(self.clean(item) for item in value)
            return
        # The container is registered before its items are cleaned, because it may contain itself.
        self._cleaned[id(value)] = value, value
        if isinstance(value, dict):
            # References to methods, such as the value of anneal_func in a schedule, are dropped.
            for key in [key for key, item in value.items() if isinstance(item, _Function)]:
                del value[key]
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            value[key] = self.clean(value[key])

    def _check_tensor(self, tensor: Tensor) -> None:
        problem = None
        if tensor.layout is not torch.strided or tensor.is_nested:
            problem = "a sparse tensor"
        elif tensor.is_quantized:
            problem = "a quantized tensor"
        elif tensor.device.type == "meta":
            problem = "a tensor without values"
        elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            problem = "a tensor with fewer values than its shape requires"
        elif self._add_storage(tensor) > self._max_bytes:
            problem = "a tensor larger than the values stored in the file"
        if problem:
            hint = "write it with torch.save"
            raise UserError(f"contains {problem}, which is not read", where=name_of(self._file), hint=hint)

    def _add_storage(self, tensor: Tensor) -> int:
        """Count the storage of a tensor, and return the size of all storages so far in bytes."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._storage_addresses:
            self._storage_addresses.add(storage.data_ptr())
            self._total_bytes += storage.nbytes()
        return self._total_bytes
