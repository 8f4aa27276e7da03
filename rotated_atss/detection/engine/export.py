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
# Largest share of boxes that may differ from torch. It is not 0 because untrained deformable convolutions and
# refinement amplify rounding errors.
_MAX_DIFFERING_SHARE = 0.05
_INPUT_SIDE = 256  # side in pixels of the inputs for tracing and comparison, before rounding to the pad divisor
_TRACED_BATCH_SIZE = 2  # torch.export would treat a batch size of 1 as a constant


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        onnx: ONNX file to write; None for none.
        torch_export: Package of ``torch.export`` to write, always in float32; None for none.
        precision: Precision of the network in the ONNX file: ``float32``, ``float16`` or ``int8``.
        calibration: For int8, folder of images from which the scales are computed; None for other precisions.
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
        UserError: The config or checkpoint is invalid, the model cannot be exported, or the graph differs from torch.

    Example::

        for line in export("rotated_atss_obb_r18_demo_le90", "iter_750.pth", ExportOptions(onnx="model.onnx")):
            print(line)
    """
    if options.onnx is not None:
        import onnx  # noqa: F401  (so that a missing package is reported before the model is loaded)
    calibration_images = list_images(options.calibration) if options.calibration is not None else []
    if config is None:  # load_model takes a config and a checkpoint, or a model file as its first argument
        loaded = load_model(checkpoint, cfg_options=options.cfg_options)
    else:
        loaded = load_model(config, checkpoint, options.cfg_options)
    info = describe_loaded_model(loaded)
    if options.onnx is not None:
        graph = DetectionGraph(loaded.model, "float16" if options.precision == "float16" else "float32")
        content = export_onnx_bytes(graph, info)
        if options.precision == "int8":
            content = quantize_to_int8(content, info, calibration_images)
        graph_info = dataclasses.replace(graph.info, precision=options.precision)
        content = replace_metadata(content, build_metadata(info, graph_info))
        yield from _compare_with_torch(content, DetectionGraph(loaded.model), info, options.precision)
        atomic_write(options.onnx, content)
        yield f"{options.onnx}: {len(content) / 1e6:.1f} MB, {options.precision}, {info.describe()}"
    if options.torch_export is not None:
        content = export_program_bytes(DetectionGraph(loaded.model), info)
        atomic_write(options.torch_export, content)
        yield f"{options.torch_export}: {len(content) / 1e6:.1f} MB, float32, {info.describe()}"


def describe_loaded_model(loaded: LoadedModel) -> ModelInfo:
    """Create the metadata of a loaded model from its config.

    If the model file has metadata, windows, training data, pixel conversion and origin are copied from it.

    Args:
        loaded: The model.

    Raises:
        UserError: Model metadata cannot describe the config's test pipeline or model.
    """
    cfg, model, classes, info = loaded
    if info is None:
        return describe_model(cfg, model, classes, window=default_window(cfg))
    return describe_model(
        cfg, model, classes, window=info.window, training_data=info.training_data, pixels=info.preprocessing.pixels,
        origin=info.origin,
    )  # fmt: skip


def export_onnx_bytes(graph: DetectionGraph, info: ModelInfo) -> bytes:
    """Export a graph to ONNX, without metadata.

    Batch size, height and width of the input can vary; height and width are multiples of the model's pad divisor.

    Args:
        graph: Network and box decoding.
        info: The model metadata.

    Returns:
        The content of the ONNX file.
    """
    buffer = io.BytesIO()
    output_axes = {name: {0: "batch", 1: "priors"} for name in graph.output_names}
    # dynamo=False: tracing takes seconds; the exporter based on torch.export took minutes for the same graph.
    with quiet_exporters(), torch.no_grad():
        torch.onnx.export(
            graph, (_random_images(info, _TRACED_BATCH_SIZE, is_square=True),),
            buffer,  # type: ignore[arg-type]  # the tracing exporter writes to buffers
            dynamo=False, opset_version=OPSET, input_names=[INPUT],
            output_names=graph.output_names, dynamic_axes={INPUT: {0: "batch", 2: "height", 3: "width"}, **output_axes},
        )  # fmt: skip
    return buffer.getvalue()


def export_program_bytes(graph: DetectionGraph, info: ModelInfo) -> bytes:
    """Export a graph with ``torch.export``, with its metadata as extra files.

    Args:
        graph: Network and box decoding.
        info: The model metadata.

    Returns:
        The content of the package, in the format of ``torch.export.load``.
    """
    divisor = info.preprocessing.pad_divisor
    # The traced graph is valid only if every level has at least two rows and columns. With the pad divisor 32, the
    # level of stride 128 needs 5 steps for this.
    height_steps, width_steps = Dim("height_steps", min=5), Dim("width_steps", min=5)  # in units of the pad divisor
    dynamic_axes = {0: Dim("batch", min=1), 2: divisor * height_steps, 3: divisor * width_steps}
    images = _random_images(info, _TRACED_BATCH_SIZE, is_square=True)
    with quiet_exporters(), torch.no_grad():
        program = torch.export.export(graph, (images,), dynamic_shapes=(dynamic_axes,))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=build_metadata(info, graph.info))
    return buffer.getvalue()


def build_metadata(info: ModelInfo, graph_info: GraphInfo) -> dict[str, str]:
    """Build the metadata of an exported file: the metadata of model and graph, and entries for QGIS Deepness.

    Args:
        info: The model metadata.
        graph_info: The graph metadata.
    """
    metadata = {
        KEY: info.to_json(),
        GRAPH_KEY: graph_info.to_json(),
        # QGIS Deepness reads this and the following keys.
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
    """Replace the metadata of an ONNX file, and check its graph.

    Args:
        content: The content of the ONNX file.
        metadata: The new metadata, strings by key.

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


def _compare_with_torch(content: bytes, graph: DetectionGraph, info: ModelInfo, precision: str) -> Iterator[str]:
    """Compare the outputs of an exported graph with torch, and yield a line that describes the differences.

    Raises:
        UserError: The share of boxes of a float32 graph that differ by more than rounding exceeds the limit.
    """
    if find_spec("onnxruntime") is None:
        yield "not compared with torch: onnxruntime is not installed"
        return
    session = OnnxRuntimeSession(content, "cpu")
    # Other batch sizes and another shape than those of tracing show whether the graph depends on the traced input.
    inputs = [_random_images(info, batch_size, is_square=False) for batch_size in (1, 3)]
    differences = [_compare_outputs(session, graph, images) for images in inputs]
    worst = max(differences, key=lambda difference: difference.share)
    if precision == "float32" and worst.share > _MAX_DIFFERING_SHARE:
        raise UserError(f"outputs of the exported graph differ from torch: {worst}", hint="report it with the config")
    yield f"ONNX Runtime compared with torch in float32 on noise: {worst}"


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
