"""Export the network and the box decoding of a detector to ONNX and to a ``torch.export`` package."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim

from rotated_atss.checkpoints.graph_info import GRAPH_KEY, INPUT, GraphInfo
from rotated_atss.checkpoints.model_info import KEY, WHOLE_IMAGE, ModelInfo
from rotated_atss.detection.engine.inference import LoadedModel, load_model
from rotated_atss.detection.engine.model_metadata import default_window, describe_model
from rotated_atss.detection.heads.graph import DetectionGraph
from rotated_atss.dota.folders import list_images
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write
from rotated_atss.io.quiet import quiet_exporters
from rotated_atss.runtime.compare import Differences, compare_outputs
from rotated_atss.runtime.quantize import quantize_to_int8
from rotated_atss.runtime.session import OnnxRuntimeSession

OPSET = 18  # version of the ONNX operators
# Maximum share of the exported graph's boxes that may differ from the boxes computed by torch. It is not 0 because
# deformable convolutions and refinement stages with untrained weights amplify rounding errors.
_MAX_DIFFERING_SHARE = 0.05
# Height and width in pixels of the random images for tracing and comparison. The actual size is a multiple of the pad
# divisor close to this value.
_INPUT_SIDE = 256
_TRACED_BATCH_SIZE = 2  # torch.export would treat a batch size of 1 as a constant


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        onnx: ONNX file to write; None to write no ONNX file.
        torch_export: ``torch.export`` package to write; None to write no package. A package is always in float32.
        precision: Precision of the network in the ONNX file: ``float32``, ``float16`` or ``int8``.
        calibration: For int8, folder of images from which the quantization scales are computed; None for other
            precisions.
        cfg_options: Changes to the config by dotted key.

    Example:
        >>> ExportOptions(onnx="model.onnx").precision
        'float32'
    """

    onnx: str | Path | None = None
    torch_export: str | Path | None = None
    precision: str = "float32"
    calibration: str | Path | None = None
    cfg_options: Mapping[str, Any] = field(default_factory=dict)


def export(config: str | Path | None, checkpoint: str | Path, options: ExportOptions) -> Iterator[str]:
    """Export a model, and yield one line per step.

    The export runs while the caller iterates over the lines.

    Args:
        config: Path or name of a config; None for a model file that records its config.
        checkpoint: Weights of the config's model, or the model file.
        options: The files to write, and their precision.

    Raises:
        ModuleNotFoundError: A package of the extra ``export`` is not installed.
        UserError: The config or checkpoint is invalid, the model cannot be exported, or the outputs of the exported
            graph differ too much from those of the torch model.

    Example::

        for line in export("rotated_atss_obb_r18_demo_le90", "iter_750.pth", ExportOptions(onnx="model.onnx")):
            print(line)
    """
    if options.onnx is not None:
        import onnx  # noqa: F401  (imported here so that a missing package is reported before the model is loaded)
    calibration_images = list_images(options.calibration) if options.calibration is not None else []
    if config is None:  # the checkpoint is a model file, which load_model accepts in place of a config
        loaded = load_model(checkpoint, cfg_options=options.cfg_options)
    else:
        loaded = load_model(config, checkpoint, options.cfg_options)
    info = describe_loaded_model(loaded)
    if options.onnx is not None:
        graph = DetectionGraph(loaded.model, "float16" if options.precision == "float16" else "float32")
        onnx_bytes = export_onnx_bytes(graph, info)
        if options.precision == "int8":
            onnx_bytes = quantize_to_int8(onnx_bytes, info, calibration_images)
        graph_info = dataclasses.replace(graph.info, precision=options.precision)
        onnx_bytes = replace_metadata(onnx_bytes, build_metadata(info, graph_info))
        yield from _compare_with_torch(onnx_bytes, DetectionGraph(loaded.model), info, options.precision)
        atomic_write(options.onnx, onnx_bytes)
        yield f"{options.onnx}: {len(onnx_bytes) / 1e6:.1f} MB, {options.precision}, {info.describe()}"
    if options.torch_export is not None:
        package_bytes = export_program_bytes(DetectionGraph(loaded.model), info)
        atomic_write(options.torch_export, package_bytes)
        yield f"{options.torch_export}: {len(package_bytes) / 1e6:.1f} MB, float32, {info.describe()}"


def describe_loaded_model(loaded: LoadedModel) -> ModelInfo:
    """Create the model metadata of a loaded model from its config.

    If the model was loaded from a model file, the windows, training data, pixel conversion and origin are copied from
    the metadata of that file.

    Args:
        loaded: The loaded model, with its config.

    Raises:
        UserError: The config has a model or test pipeline that model metadata cannot describe.
    """
    cfg, model, classes, info = loaded
    if info is None:
        return describe_model(cfg, model, classes, window=default_window(cfg))
    return describe_model(
        cfg, model, classes, window=info.window, training_data=info.training_data, pixels=info.preprocessing.pixels,
        origin=info.origin,
    )  # fmt: skip


def export_onnx_bytes(graph: DetectionGraph, info: ModelInfo) -> bytes:
    """Export a graph to ONNX. The exported file has no metadata yet.

    Inputs of the exported graph can have any batch size, and any height and width that are multiples of the model's pad
    divisor.

    Args:
        graph: Network and box decoding.
        info: The model metadata.

    Returns:
        The content of the ONNX file.
    """
    buffer = io.BytesIO()
    output_axes = {name: {0: "batch", 1: "priors"} for name in graph.output_names}
    # dynamo=False selects the tracing exporter. It takes seconds for this graph, but the newer exporter, which is based
    # on torch.export, took minutes.
    with quiet_exporters(), torch.no_grad():
        torch.onnx.export(
            graph, (_random_images(info, _TRACED_BATCH_SIZE, is_square=True),),
            buffer,  # type: ignore[arg-type]  # the tracing exporter also accepts a buffer
            dynamo=False, opset_version=OPSET, input_names=[INPUT],
            output_names=graph.output_names, dynamic_axes={INPUT: {0: "batch", 2: "height", 3: "width"}, **output_axes},
        )  # fmt: skip
    return buffer.getvalue()


def export_program_bytes(graph: DetectionGraph, info: ModelInfo) -> bytes:
    """Export a graph and its metadata as a ``torch.export`` package.

    Args:
        graph: Network and box decoding.
        info: The model metadata.

    Returns:
        The content of the package file, which ``torch.export.load`` can read.
    """
    divisor = info.preprocessing.pad_divisor
    # The height and width of an input are multiples of the pad divisor. The traced graph is valid only if every level
    # has at least two rows and columns. With the pad divisor 32, the level of stride 128 has two rows if the input is
    # higher than 128 pixels, that is, at least 5 * 32.
    height_steps, width_steps = Dim("height_steps", min=5), Dim("width_steps", min=5)
    dynamic_axes = {0: Dim("batch", min=1), 2: divisor * height_steps, 3: divisor * width_steps}
    images = _random_images(info, _TRACED_BATCH_SIZE, is_square=True)
    with quiet_exporters(), torch.no_grad():
        program = torch.export.export(graph, (images,), dynamic_shapes=(dynamic_axes,))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=build_metadata(info, graph.info))
    return buffer.getvalue()


def build_metadata(info: ModelInfo, graph_info: GraphInfo) -> dict[str, str]:
    """Build the metadata of an exported file: model metadata, graph metadata and entries for QGIS Deepness.

    Args:
        info: The model metadata.
        graph_info: The graph metadata.
    """
    metadata = {
        KEY: info.to_json(),
        GRAPH_KEY: graph_info.to_json(),
        # All keys from here on, including those added below, are read by QGIS Deepness.
        "model_type": json.dumps("Detector"),
        "class_names": json.dumps(dict(enumerate(info.classes))),
        "det_iou_thresh": json.dumps(info.thresholds.merge_iou),
    }
    if info.window.size != WHOLE_IMAGE:
        metadata["tile_size"] = json.dumps(info.window.size)
        metadata["tiles_overlap"] = json.dumps(round(100 * info.window.gap / info.window.size))  # percent
    if info.ground_resolution is not None:
        metadata["resolution"] = json.dumps(100 * info.ground_resolution)  # centimeters per pixel
    return metadata


def replace_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """Replace the metadata of an ONNX file, and check that the file is valid.

    Args:
        content: The content of the ONNX file.
        metadata: The new metadata entries by key.

    Returns:
        The content of the file with the new metadata.

    Raises:
        ModuleNotFoundError: onnx is not installed.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _compare_with_torch(onnx_bytes: bytes, graph: DetectionGraph, info: ModelInfo, precision: str) -> Iterator[str]:
    """Compare the outputs of an ONNX file with the outputs of torch, and yield a line that describes the differences.

    Raises:
        UserError: The ONNX file has float32 precision, and the share of its boxes that differ from the boxes of torch
            by more than rounding errors exceeds ``_MAX_DIFFERING_SHARE``.
    """
    if find_spec("onnxruntime") is None:
        yield "the exported graph was not compared with torch: onnxruntime is not installed"
        return
    session = OnnxRuntimeSession(onnx_bytes, "cpu")
    # Tracing used two square images. Different batch sizes and a different aspect ratio reveal a graph that works only
    # for inputs of the traced shape.
    inputs = [_random_images(info, batch_size, is_square=False) for batch_size in (1, 3)]
    differences = [_compare_outputs(session, graph, images) for images in inputs]
    worst = max(differences, key=lambda difference: difference.share)
    if precision == "float32" and worst.share > _MAX_DIFFERING_SHARE:
        what = f"the outputs of the exported graph differ from the outputs of torch: {worst}"
        raise UserError(what, hint="report this problem with the config")
    yield f"ONNX Runtime compared with torch in float32 on random images: {worst}"


def _compare_outputs(session: OnnxRuntimeSession, graph: DetectionGraph, images: Tensor) -> Differences:
    with torch.inference_mode():
        expected = {name: output.numpy() for name, output in zip(graph.output_names, graph(images))}
    return compare_outputs(session.run(images.numpy()), expected)


def _random_images(info: ModelInfo, batch_size: int, is_square: bool) -> Tensor:
    """Return random images (B, 3, H, W) whose height and width are multiples of the pad divisor.

    If the images are not square, the height exceeds the width by one pad divisor.
    """
    divisor = info.preprocessing.pad_divisor
    side = max(_INPUT_SIDE // divisor, 2) * divisor
    height, width = (side, side) if is_square else (side + divisor, side)
    values = np.random.default_rng(batch_size).uniform(0, 255, (batch_size, 3, height, width))
    return torch.from_numpy(values.astype(np.float32))
