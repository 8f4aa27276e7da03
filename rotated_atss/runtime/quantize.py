"""Quantize exported graphs to int8 (static quantization)."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.checkpoints.graph_info import INPUT
from rotated_atss.checkpoints.model_info import WHOLE_IMAGE, ModelInfo
from rotated_atss.io.images import read_image
from rotated_atss.io.png import Image
from rotated_atss.io.quiet import quiet_exporters
from rotated_atss.runtime.detector import prepare_batch
from rotated_atss.runtime.session import Array
from rotated_atss.tiling.split_image import crop_window
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows

CALIBRATION_WINDOWS = 64  # default number of windows for calibration


def quantize_to_int8(
    graph: bytes, info: ModelInfo, images: Sequence[Path], num_windows: int = CALIBRATION_WINDOWS
) -> bytes:
    """Quantize the convolutions of a graph to int8, calibrated on windows of images.

    Weights have one scale per output channel. Activations have one scale per tensor, which covers the range of the
    values that the tensor has for the windows. The last convolutions, which compute scores and deltas, stay in float32,
    and so does the decoding of boxes.

    Args:
        graph: The ONNX file in float32.
        info: The model metadata.
        images: Image files like those on which the model will be used.
        num_windows: Number of windows for calibration. :func:`select_windows` rounds it up to an equal number per
            image.

    Returns:
        The quantized ONNX file. It contains the operators QuantizeLinear and DequantizeLinear.

    Raises:
        ModuleNotFoundError: onnx or onnxruntime is not installed.
        UserError: An image is unreadable.

    Example::

        quantized = quantize_to_int8(Path("model.onnx").read_bytes(), info, list_images("tiles/images"))
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    windows = select_windows(images, info, num_windows)
    with tempfile.TemporaryDirectory() as folder, quiet_exporters():
        source, prepared, target = (Path(folder, name) for name in ("a.onnx", "b.onnx", "c.onnx"))
        source.write_bytes(graph)
        # Skip symbolic shape inference. Only graphs of transformers need it.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _CalibrationReader(prepare_batch([window], info.preprocessing)[0] for window in windows),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # Weights use only 7 bits. With 8 bits, sums could overflow on processors without VNNI instructions, because
            # these processors add products of int8 and uint8 in 16 bits.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=last_convolutions(onnx.load(prepared)),
        )
        return target.read_bytes()


def select_windows(images: Sequence[Path], info: ModelInfo, num_windows: int) -> Iterator[Image]:
    """Yield the pixels of windows that are cut as in prediction and spread evenly over the images.

    Args:
        images: Image files, at least one.
        info: The model metadata, with the size and overlap of windows.
        num_windows: Number of windows. It is rounded up to an equal number per image. An image with fewer windows than
            this yields all of its windows.

    Raises:
        UserError: An image is unreadable.
    """
    selected_images = [images[index] for index in _spread_indices(len(images), num_windows)]
    windows_per_image = math.ceil(num_windows / len(selected_images))
    for path in selected_images:
        image = read_image(path, info.preprocessing.pixels)
        if info.window.size == WHOLE_IMAGE:
            yield image
            continue
        settings = SplitSettings(sizes=(info.window.size,), gaps=(info.window.gap,))
        height, width = image.shape[:2]
        windows = sliding_windows(width, height, settings.grids(), settings.image_ratio).tolist()
        for index in _spread_indices(len(windows), windows_per_image):
            yield crop_window(image, windows[index], settings.padding)


def _spread_indices(length: int, count: int) -> NDArray[np.int64]:
    """Return at most ``count`` different indices, spread evenly over a sequence."""
    return np.unique(np.linspace(0, length - 1, count).round().astype(int))


def last_convolutions(model: Any) -> list[str]:
    """Return the names of the last convolutions of a graph, which compute scores and deltas.

    A convolution is one of the last if no other convolution depends on its output.

    Args:
        model: An ``onnx.ModelProto``.
    """
    conv_inputs: set[str] = set()  # names of the tensors that a convolution uses, directly or through other nodes
    names = []
    # The nodes are in topological order. Therefore, reverse order visits all users of a node's output before the node.
    for node in reversed(model.graph.node):
        has_later_convolution = any(output in conv_inputs for output in node.output)
        if node.op_type == "Conv" and not has_later_convolution:
            names.append(node.name)
        if node.op_type == "Conv" or has_later_convolution:
            conv_inputs.update(node.input)
    return names


class _CalibrationReader:
    """Provide calibration inputs through the interface of ONNX Runtime's ``CalibrationDataReader``."""

    def __init__(self, batches: Iterator[Array]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
