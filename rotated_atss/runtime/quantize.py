"""Static quantization of exported graphs to int8."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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

CALIBRATION_WINDOWS = 64  # default


def quantize_to_int8(
    graph: bytes, info: ModelInfo, images: Sequence[Path], num_windows: int = CALIBRATION_WINDOWS
) -> bytes:
    """Quantize the convolutions of a graph to int8, with scales from windows of images.

    Weights have one scale per output channel. Activations have one scale per tensor, from the smallest to the largest
    value that occurs on the windows. The decoding and the last convolutions, whose outputs are scores and deltas, stay
    in float32.

    Args:
        graph: The ONNX file in float32.
        info: The record of its model.
        images: Image files like those to predict on.
        num_windows: Approximate number of windows for calibration, as in :func:`select_windows`.

    Returns:
        The ONNX file, with the operators QuantizeLinear and DequantizeLinear.

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
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _CalibrationReader(prepare_batch([window], info.preprocessing)[0] for window in windows),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # On processors without VNNI, sums of products of int8 and uint8 overflow 16 bits; with 7-bit weights they
            # do not.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=last_convolutions(onnx.load(prepared)),
        )
        return target.read_bytes()


def select_windows(images: Sequence[Path], info: ModelInfo, count: int) -> Iterator[Image]:
    """Yield windows as in prediction, spread evenly over the images.

    Args:
        images: Image files, at least one.
        info: The record of the model, with its windows.
        count: Number of windows, rounded up to an equal number per image; fewer if the images have fewer.

    Raises:
        UserError: An image is unreadable.
    """
    chosen = [images[index] for index in np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))]
    per_image = math.ceil(count / len(chosen))
    for path in chosen:
        image = read_image(path, info.preprocessing.pixels)
        if info.window.size == WHOLE_IMAGE:
            yield image
            continue
        settings = SplitSettings(sizes=(info.window.size,), gaps=(info.window.gap,))
        windows = sliding_windows(image.shape[1], image.shape[0], settings.grids(), settings.image_ratio).tolist()
        for index in np.unique(np.linspace(0, len(windows) - 1, per_image).round().astype(int)):
            yield crop_window(image, windows[index], settings.padding)


def last_convolutions(model: Any) -> list[str]:
    """Return the names of the convolutions that no other convolution follows: they compute scores and deltas.

    Args:
        model: An ``onnx.ModelProto``.
    """
    feeds_convolution: dict[str, bool] = {}  # by tensor name: whether a later convolution depends on the tensor
    names = []
    for node in reversed(model.graph.node):  # in topological order, so that all consumers come first
        follows = any(feeds_convolution.get(output, False) for output in node.output)
        if node.op_type == "Conv" and not follows:
            names.append(node.name)
        for value in node.input:
            feeds_convolution[value] = feeds_convolution.get(value, False) or follows or node.op_type == "Conv"
    return names


class _CalibrationReader:
    """Calibration inputs in the interface of ONNX Runtime's ``CalibrationDataReader``."""

    def __init__(self, batches: Iterator[Array]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
