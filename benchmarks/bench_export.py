"""Agreement of every config's exported graph with torch, on tiles, in batches of 1 and 8 different images.

Each config is built with initial weights, without pretrained ones; its last layers are scaled so that scores and boxes
are those of a detector that finds objects. The graph is exported to ONNX and run by ONNX Runtime; torch runs the same
network. The 1,000 boxes with the highest scores of each tile are compared.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import defaultdict
from pathlib import Path

import cv2
import torch

from benchmarks.dota_data import find_data
from benchmarks.records import Record, Row, target
from rotated_atss.configs import config_names
from rotated_atss.io.quiet import quiet_exporters
from rotated_atss.runtime.compare import MAX_CORNER_DIFFERENCE, MAX_SCORE_DIFFERENCE, compare_outputs
from rotated_atss.runtime.detector import prepare_batch
from rotated_atss.runtime.session import OnnxRuntimeSession

OPTIONS = dict(size=256, only=[])

BATCHES = (1, 8)
STDS = {"_cls": 1.5, "_reg": 0.3, "_centerness": 1.0}  # of the outputs of the last layers
CLASS_MEAN = -4.0  # logit


def measure(args: argparse.Namespace) -> Record:
    rows = []
    tiles, source = read_tiles(args.folder, args.size)
    for name in args.only or config_names():
        rows.append(compare(name, tiles))
        print(rows[-1], flush=True)
    score, corner = (max(row[key] for row in rows) for key in ("score", "corner"))
    targets = [
        target("exported graphs: largest difference of scores", score, at_most=MAX_SCORE_DIFFERENCE),
        target("exported graphs: largest difference of corners, px", corner, at_most=MAX_CORNER_DIFFERENCE),
    ]
    return {"settings": {"size": args.size, "tiles": source}, "rows": rows, "targets": targets}


def read_tiles(folder: Path, size: int) -> tuple[list, str]:
    """Read as many different tiles as the largest batch has, from the centers of images."""
    data, source = find_data("", folder)
    tiles = []
    for path in sorted((data / "images").iterdir())[: max(BATCHES)]:
        image = cv2.imread(str(path))
        top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
        tiles.append(image[top : top + size, left : left + size])
    return tiles, source


@torch.no_grad()
def compare(name: str, tiles: list) -> Row:
    """Export one config and return its largest differences."""
    from rotated_atss.detection.engine.config import build_model, load_config
    from rotated_atss.detection.engine.export import export_onnx_bytes
    from rotated_atss.detection.engine.model_metadata import default_window, describe_model
    from rotated_atss.detection.heads.graph import DetectionGraph

    torch.manual_seed(0)
    cfg = load_config(name, {"model.backbone.init_cfg": None})
    model = build_model(cfg)
    with quiet_exporters():
        model.init_weights()
    graph = DetectionGraph(model)
    classes = [str(index) for index in range(graph.head.num_classes)]
    info = describe_model(cfg, model, classes, window=default_window(cfg))
    preprocessing = dataclasses.replace(info.preprocessing, resize=None)
    scale_last_layers(graph, torch.from_numpy(prepare_batch(tiles[:2], preprocessing)[0]))
    content = export_onnx_bytes(graph, info)
    session = OnnxRuntimeSession(content, "cpu")
    found = []
    for batch_size in BATCHES:
        images, _ = prepare_batch(tiles[:batch_size], preprocessing)
        outputs = [output.numpy() for output in graph(torch.from_numpy(images))]
        found.append(compare_outputs(session.run(images), dict(zip(graph.output_names, outputs))))
    return {
        "config": name, "megabytes": round(len(content) / 1e6, 1),
        "score": max(each.score for each in found), "corner": max(each.corner for each in found),
        "boxes": sum(each.boxes for each in found),
    }  # fmt: skip


def scale_last_layers(graph: torch.nn.Module, images: torch.Tensor) -> None:
    """Scale class, box and centerness layers in place, so that their outputs have the deviations ``STDS``."""
    outputs: dict[torch.nn.Module, list[torch.Tensor]] = defaultdict(list)
    layers = {}
    for name, layer in graph.named_modules():
        suffix = next((suffix for suffix in STDS if name.endswith(suffix)), None)
        if suffix and isinstance(layer, torch.nn.Conv2d):
            layers[layer] = suffix
            layer.register_forward_hook(lambda layer, _, output: outputs[layer].append(output.flatten()))
    graph(images)
    for layer, suffix in layers.items():
        layer._forward_hooks.clear()
        layer.weight.data *= STDS[suffix] / float(torch.cat(outputs[layer]).std())
        layer.bias.data.fill_(CLASS_MEAN if suffix == "_cls" else 0.0)
