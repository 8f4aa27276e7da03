"""Load and run exported graphs on ONNX Runtime and OpenVINO, the supported runtimes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError, printable
from rotated_atss.io.processes import available_cores

RUNTIMES = ("onnxruntime", "openvino")
RUNTIME_NAMES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}
# If the message of an exception contains one of these texts, the runtime has too little memory.
_OUT_OF_MEMORY = ("allocat", "out of memory", "not enough memory", "bad_alloc")

Array = NDArray[np.float32]


class Session(Protocol):
    """A loaded graph.

    Attributes:
        runtime: One of ``RUNTIMES``, or the name of another runtime.
    """

    runtime: str

    def run(self, images: Array) -> dict[str, Array]:
        """Run the graph on images (B, 3, H, W) and return its outputs by name."""


class OnnxRuntimeSession:
    """A graph on ONNX Runtime.

    Args:
        source: The ONNX file, or its content.
        device: ``cpu``, ``cuda`` or ``cuda:<index>``. None selects the GPU if the installed ONNX Runtime supports it,
            else the CPU.
        threads: Threads on the CPU; None for all cores of this process.

    Raises:
        ModuleNotFoundError: onnxruntime is not installed.
        UserError: The installed ONNX Runtime cannot load the file, or there is no such device.
    """

    runtime = "onnxruntime"

    def __init__(self, source: str | Path | bytes, device: str | None = None, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            what = "ONNX Runtime is not installed (run: pip install 'rotated-atss[onnx]')"
            raise ModuleNotFoundError(what, name="onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cores() if threads is None else threads
        # Waiting threads sleep instead of spinning. In measurements, this reduced the time per batch to a fifth when
        # other processes used the cores. When the cores were otherwise idle, it did not change the time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only, because ONNX Runtime prints warnings to the terminal
        providers = _onnxruntime_providers(onnxruntime.get_available_providers(), device)
        try:
            content = source if isinstance(source, bytes) else str(source)
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # ONNX Runtime's exception classes are private to its extension module
            where = "the graph" if isinstance(source, bytes) else source
            raise _load_error(self.runtime, where, error) from error
        self._output_names = [output.name for output in self._session.get_outputs()]
        (graph_input,) = self._session.get_inputs()
        self._input_name, self._input_shape = graph_input.name, graph_input.shape

    def run(self, images: Array) -> dict[str, Array]:
        """Run the graph on images (B, 3, H, W) and return its outputs by name."""
        check_input_shape(images.shape, self._input_shape)
        inputs = {self._input_name: images}
        outputs = _report_out_of_memory(lambda: self._session.run(self._output_names, inputs), len(images))
        return dict(zip(self._output_names, outputs))


class OpenVINOSession:
    """A graph on OpenVINO, on the CPU.

    Args:
        path: The ONNX file.
        threads: Threads; None for all cores of this process.

    Raises:
        ModuleNotFoundError: openvino is not installed.
        UserError: The installed OpenVINO cannot load the file.
    """

    runtime = "openvino"

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            what = "OpenVINO is not installed (run: pip install 'rotated-atss[openvino]')"
            raise ModuleNotFoundError(what, name="openvino") from error
        settings = {
            "INFERENCE_NUM_THREADS": available_cores() if threads is None else threads,
            "INFERENCE_PRECISION_HINT": "f32",  # the default is bfloat16 on CPUs that support it
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            self._model = openvino.Core().compile_model(str(path), "CPU", settings)
        except Exception as error:  # OpenVINO's exception classes are private to its extension module
            raise _load_error(self.runtime, path, error) from error
        shape = self._model.input(0).get_partial_shape()
        self._input_shape = [None if dim.is_dynamic else dim.get_length() for dim in shape]
        self._output_names = [output.get_any_name() for output in self._model.outputs]

    def run(self, images: Array) -> dict[str, Array]:
        """Run the graph on images (B, 3, H, W) and return its outputs by name."""
        check_input_shape(images.shape, self._input_shape)
        outputs = _report_out_of_memory(lambda: self._model([images]), len(images))
        return {name: np.array(outputs[index]) for index, name in enumerate(self._output_names)}


def open_session(
    path: str | Path, runtime: str = "onnxruntime", *, device: str | None = None, threads: int | None = None
) -> Session:
    """Load an ONNX file.

    Args:
        path: The file.
        runtime: ``onnxruntime`` or ``openvino``.
        device: As for :class:`OnnxRuntimeSession`. OpenVINO runs on the CPU only.
        threads: Threads on the CPU; None for all cores of this process.

    Raises:
        ModuleNotFoundError: The runtime is not installed.
        UserError: The runtime is unknown, the runtime cannot load the file, or there is no such device.

    Example::

        session = open_session("model.onnx")
        outputs = session.run(np.zeros((1, 3, 256, 256), np.float32))
    """
    if runtime == "onnxruntime":
        return OnnxRuntimeSession(path, device, threads)
    if runtime == "openvino":
        if device not in (None, "cpu"):
            raise UserError(f"OpenVINO runs on the CPU, got device '{device}'", where="--device", hint="use cpu")
        return OpenVINOSession(path, threads)
    raise UserError(f"the runtime must be one of {', '.join(RUNTIMES)}, got '{runtime}'")


def open_fastest_session(path: str | Path, images: Array, *, threads: int | None = None, runs: int = 3) -> Session:
    """Load an ONNX file on each installed runtime, time the runs of a batch on the CPU, and return the fastest session.

    The fastest runtime depends on the processor and on the precision of the graph. Loading and timing take a few
    seconds.

    Args:
        path: The file.
        images: (B, 3, H, W) input of the timed runs.
        threads: Threads; None for all cores of this process.
        runs: Timed runs per runtime, after one run that is not timed. The shortest run is compared.

    Raises:
        ModuleNotFoundError: No runtime is installed.
        UserError: As for :func:`open_session`.

    Example::

        session = open_fastest_session("model.onnx", np.zeros((1, 3, 256, 256), np.float32))
    """
    runtimes = [name for name in RUNTIMES if find_spec(name) is not None]
    if not runtimes:
        runtimes = ["onnxruntime"]  # open_session raises the error that says how to install it
    sessions = [open_session(path, name, device="cpu", threads=threads) for name in runtimes]
    if len(sessions) == 1:
        return sessions[0]
    return min(sessions, key=lambda session: _time_shortest_run(session, images, runs))


def _time_shortest_run(session: Session, images: Array, runs: int) -> float:
    """Return the shortest duration of ``runs`` runs in seconds, after one run that is not timed."""
    session.run(images)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(images)
        times.append(time.perf_counter() - start)
    return min(times)


def check_input_shape(shape: Sequence[int], expected: Sequence[int | str | None]) -> None:
    """Check that a shape matches the fixed dimensions of the input of a graph.

    Args:
        shape: Shape (B, 3, H, W) of an input.
        expected: Shape of the graph's input: an integer per fixed dimension, a string or None per dynamic dimension.

    Raises:
        UserError: A fixed dimension differs, or the graph's input does not have four dimensions.

    Example:
        >>> check_input_shape((8, 3, 256, 512), ["batch", 3, None, 512])
    """
    differs = any(isinstance(dim, int) and dim != size for dim, size in zip(expected, shape))
    if len(expected) != 4 or differs:
        expected_text = " x ".join(str(dim) if isinstance(dim, int) else "any" for dim in expected)
        what = f"the graph's input must be {expected_text}, got {' x '.join(map(str, shape))}"
        raise UserError(what, hint="set --size and --batch, or export the model again")


def _onnxruntime_providers(available: Sequence[str], device: str | None) -> list[Any]:
    """Return the execution providers of ONNX Runtime for a device."""
    has_cuda = "CUDAExecutionProvider" in available
    default_kind = "cuda" if has_cuda else "cpu"
    kind, _, index = (device or "").partition(":")
    kind, index = kind or default_kind, index or "0"
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind != "cuda" or not has_cuda or not index.isdigit():
        available_kinds = "cpu, cuda" if has_cuda else "cpu"
        hint = f"available: {available_kinds}; for CUDA, install onnxruntime-gpu"
        raise UserError(f"no such device: '{device}'", where="--device", hint=hint)
    # The CPU provider runs the operators that the CUDA provider does not support.
    return [("CUDAExecutionProvider", {"device_id": int(index)}), "CPUExecutionProvider"]


def _load_error(runtime: str, where: str | Path, error: Exception) -> UserError:
    reason = printable(str(error), 300)
    hint = f"export the model again, or update {runtime}"
    return UserError(f"{RUNTIME_NAMES[runtime]} cannot load the graph: {reason}", where=where, hint=hint)


def _report_out_of_memory(compute: Callable[[], Any], batch_size: int) -> Any:
    """Return the result of ``compute``, but convert errors about too little memory to a UserError."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        message = str(error).lower()
        if isinstance(error, MemoryError) or any(text in message for text in _OUT_OF_MEMORY):
            what = f"out of memory with {batch_size} images per batch"
            raise UserError(what, hint="use a smaller batch (--batch), or smaller windows (--size)") from error
        raise
