"""Read ``.pth`` files without running code from them.

A ``.pth`` file is a pickle, and unpickling calls the functions that the file names. ``torch.load(weights_only=True)``
calls only functions on an allow-list. :data:`ALLOWED_GLOBALS` adds what MMEngine's logs contain: NumPy arrays and
scalars, and the statistics of ``HistoryBuffer``. Except for ``slice``, each allowed name is replaced by a class or
function of this module that stores plain values. No object of the named classes is created, and a ``getattr`` in the
file accesses no attribute.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rotated_atss.checkpoints.zip_check import check_checkpoint_file, name_of
from rotated_atss.errors import UserError

_NUMBERS = re.compile(r"[?biufc]\d{0,2}|[US]\d{1,4}")  # dtypes without Python objects
_STATISTICS = ("min", "max", "current", "mean")  # methods of mmengine.logging.HistoryBuffer
_SCHEDULE_FUNCTIONS = ("_annealing_cos", "_annealing_linear")  # methods of MMEngine's one-cycle schedule


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
        history.log_history, history.count_history, history.max_length = np.zeros(0), np.zeros(0), 1_000_000
        return history

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the values of a pickled ``HistoryBuffer``, not its functions."""
        arrays = {}
        for name in ("_log_history", "_count_history"):
            value = state[name]
            if not isinstance(value, _Array):
                raise UnpicklingError(f"{name} of a log is no array")
            arrays[name] = value.value
        self.log_history, self.count_history = arrays["_log_history"], arrays["_count_history"]
        length = state.get("_max_length", state.get("max_length", self.max_length))
        self.max_length = length if type(length) is int else self.max_length


class _DType:
    """NumPy dtype of numbers or text."""

    __slots__ = ("dtype",)
    dtype: np.dtype

    def __new__(cls, code: Any = "", *_: object) -> _DType:
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise UnpicklingError(f"dtype {code!r:.40} is not one of numbers or text")
        instance = super().__new__(cls)
        instance.dtype = np.dtype(code)
        return instance

    def __setstate__(self, state: tuple) -> None:
        # NumPy's state: version, byte order, subdtype, names, fields, ...
        if any(part is not None for part in state[2:5]):
            raise UnpicklingError("structured dtypes are not read")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """NumPy array of numbers or text."""

    __slots__ = ("value",)
    value: np.ndarray

    def __new__(cls, *_: object) -> _Array:
        instance = super().__new__(cls)
        instance.value = np.zeros(0)
        return instance

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _DType) or not isinstance(data, bytes):
            raise UnpicklingError("arrays of Python objects are not read")
        order: Any = "F" if is_fortran else "C"
        self.value = np.frombuffer(data, dtype.dtype).reshape(shape, order=order).copy(order="K")


class _Schedule:
    """Placeholder for a one-cycle schedule, which is not read: a resumed training builds it from the config."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Function:
    """Placeholder for a method of a log or schedule."""

    __slots__ = ()


def _reconstruct(kind: Any, *_: object) -> _Array:
    if kind is not _Array:
        raise UnpicklingError("subclasses of arrays are not read")
    return _Array()


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if not isinstance(dtype, _DType) or not isinstance(data, bytes):
        raise UnpicklingError("numbers of Python objects are not read")
    return np.frombuffer(data, dtype.dtype, count=1)[0]


def _named_function(owner: Any, name: Any) -> _Function:
    """Replace ``getattr``, which files call to name methods of logs and schedules; return a placeholder."""
    allowed = _STATISTICS if owner is LogHistory else _SCHEDULE_FUNCTIONS if owner is _Schedule else ()
    if not isinstance(name, str) or name not in allowed:
        raise UnpicklingError("GLOBAL builtins.getattr was not an allowed global")  # in torch's words, see read_file.py
    return _Function()


# Names that a file may use in addition to those that torch allows with weights_only=True, with their replacements.
ALLOWED_GLOBALS: dict[str, Any] = {
    "builtins.getattr": _named_function,
    "builtins.slice": slice,
    "mmengine.logging.history_buffer.HistoryBuffer": LogHistory,
    "mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler": _Schedule,
    "mmengine.optim.scheduler.lr_scheduler.OneCycleLR": _Schedule,
    "numpy.dtype": _DType,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _reconstruct,  # NumPy 1
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray._reconstruct": _reconstruct,  # NumPy 2
    "numpy._core.multiarray.scalar": _scalar,
}


def load_restricted(
    file: Any, map_location: Any = "cpu", make_history: Callable[[LogHistory], Any] = lambda history: history
) -> Any:
    """Load a ``.pth`` file of tensors, plain values, NumPy arrays and MMEngine logs.

    Args:
        file: Path, or open binary file.
        map_location: As for :func:`torch.load`.
        make_history: Function that builds a log object of the result from the values of a log.

    Returns:
        The content. All tensors are dense, with all their values in the file.

    Raises:
        pickle.UnpicklingError: The file names a class or function that is not allowed.
        UserError: The file fails :func:`check_checkpoint_file`, a tensor is sparse, quantized or incomplete, or all
            tensors together are larger than the values in the file.
        Exception: The file is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"meta": {"mean": np.float64(0.5)}}, f"{folder}/a.pth")
        ...     load_restricted(f"{folder}/a.pth")
        {'meta': {'mean': np.float64(0.5)}}
    """
    max_bytes = check_checkpoint_file(file)
    earlier = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()  # additions of other packages do not apply here
    try:
        with torch.serialization.safe_globals([(value, name) for name, value in ALLOWED_GLOBALS.items()]):
            content = torch.load(file, map_location=map_location, weights_only=True)
    finally:
        torch.serialization.add_safe_globals(earlier)
    return _Cleaner(file, max_bytes, make_history).clean(content)


class _Cleaner:
    """Replace the placeholders of this module in loaded content and check its tensors."""

    def __init__(self, file: Any, max_bytes: int, make_history: Callable[[LogHistory], Any]) -> None:
        self._file, self._max_bytes, self._make_history = file, max_bytes, make_history
        self._storages: set[int] = set()  # addresses of the memory of tensors
        self._total = 0  # bytes of this memory
        # Original and cleaned container by id of the original, which must stay alive to keep its id.
        self._cleaned: dict[int, tuple[Any, Any]] = {}

    def clean(self, value: Any) -> Any:
        """Return a value without placeholders. Dictionaries and lists are changed in place."""
        if isinstance(value, Tensor):
            self._check(value)
        elif isinstance(value, _Array):
            return value.value
        elif isinstance(value, LogHistory):
            return self._make_history(value)
        elif isinstance(value, (_DType, _Schedule)):
            return None
        elif isinstance(value, (dict, list)) or type(value) is tuple:
            if id(value) not in self._cleaned:
                self._clean_container(value)
            return self._cleaned[id(value)][1]
        return value

    def _clean_container(self, value: dict | list | tuple) -> None:
        if isinstance(value, tuple):
            self._cleaned[id(value)] = value, tuple(self.clean(item) for item in value)
            return
        self._cleaned[id(value)] = value, value  # before its items, which may contain it
        if isinstance(value, dict):
            for key in [key for key, item in value.items() if isinstance(item, _Function)]:
                del value[key]
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            value[key] = self.clean(value[key])

    def _check(self, tensor: Tensor) -> None:
        kind = None
        if tensor.layout is not torch.strided or tensor.is_nested:
            kind = "a sparse tensor"
        elif tensor.is_quantized:
            kind = "a quantized tensor"
        elif tensor.device.type == "meta":
            kind = "a tensor without values"
        elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            kind = "a tensor with fewer values than its shape"
        elif self._add_storage(tensor) > self._max_bytes:
            kind = "a tensor larger than the file's values"
        if kind:
            hint = "write it with torch.save"
            raise UserError(f"holds {kind}, which is not read", where=name_of(self._file), hint=hint)

    def _add_storage(self, tensor: Tensor) -> int:
        """Count the memory of a tensor and return that of all tensors so far, bytes."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._storages:
            self._storages.add(storage.data_ptr())
            self._total += storage.nbytes()
        return self._total
