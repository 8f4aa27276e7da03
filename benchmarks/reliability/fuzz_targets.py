"""Readers to fuzz: valid inputs, and a function that reads a damaged one. Only UserError may leave a reader."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.model_info import KEY, ModelInfo, Preprocessing, Thresholds, TrainingData, Window
from rotated_atss.checkpoints.read_file import read_content
from rotated_atss.checkpoints.weight_files import safetensors_bytes
from rotated_atss.coco.instances import read_instances
from rotated_atss.coco.results_file import read_results
from rotated_atss.dota.detections import read_detections
from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.submission_check import check_submission
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.geo.geojson_polygons import read_geojson_layer
from rotated_atss.io.georeference_files import read_world_file
from rotated_atss.io.image_header import read_header
from rotated_atss.io.image_reader import open_image
from rotated_atss.io.images import encode_image
from rotated_atss.io.onnx_metadata import read_onnx_metadata
from rotated_atss.io.safe_config import read_safe_config
from rotated_atss.io.vrt_sources import check_vrt_sources
from rotated_atss.label_formats.reading import AUTO, read_label_set
from rotated_atss.label_formats.records import ImageLabels
from rotated_atss.label_formats.registry import FORMATS, get_format
from rotated_atss.tiling.manifest import read_manifest
from rotated_atss.tiling.merge_text import merge_folder
from tests.references.onnx_file import onnx_bytes

LABEL = b"imagesource:GoogleEarth\ngsd:0.5\n20 20 80 20.5 80 60 20 60 ship 0\n1 2 11 2 11 8 1 8 large-vehicle 1\n"
TASK1 = b"P1__1024__0___0 0.91 20 20 80 20 80 60 20 60\nP1__1024__824___0 0.5 1.5 2 11 2 11 8 1 8\n"
INSTANCES = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "ship"}],
}
RESULTS = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]
MANIFEST = {
    "written_by": "rotated-atss split",
    "settings": {"sizes": [1024], "keep_empty": True},
    "folders": [{"images": "../raw", "labels": "../labelTxt"}, {"images": "x", "labels": "y", "label_format": "voc"}],
    "tiles": [{"image": "P1.png", "name": "P1__1024__0___0", "objects": 2, "truncated": 0}],
}
CONFIG = b"""\
_base_ = "rotated_atss_obb_r18_demo_le90"
scale = (800, 800)
model = dict(backbone=dict(depth=18, **dict(frozen=-1)), head=[dict(type="ATSS", _delete_=True), *_base_.heads])
data_root = "data/" + "train"
lr = {"a": 0.1 * 2, 3: None}
"""
SODA_A = {
    "images": {"file_name": "a.jpg", "width": 64, "height": 64},
    "annotations": [{"poly": [1, 2, 11, 2, 11, 8, 1, 8], "category_id": 0}],
    "categories": [{"id": 0, "name": "ship"}],
}
UCAS_AOD = b"1\t2\t11\t2\t11\t8\t1\t8\t0.5\t1\t2\t10\t6\n"
TOKENS = (
    *(b"nan", b"inf", b"-1", b"1e400", b"9" * 400, b"\x00", b"\x1b[2J", b"\xff\xfe", b"\xc3\xa9", b"\r", b"\n", b"\t"),
    *(b"null", b"true", b"[]", b"{}", b'""', b"[" * 2000, b"{" * 50, b"1_0", b"../", b"/dev/zero", b"\xe2\x80\xa8"),
    *(b"a" * 5000, b"-", b".", b",", b":", b'"', b"\\", b"__", b"___", b"1e-400", b"0x10", b"\xef\xbb\xbf", b" "),
)


class Target(NamedTuple):
    """A reader to fuzz.

    Attributes:
        seeds: Valid inputs.
        path: File that holds an input.
        read: Reads that file.
        max_bytes: Longest input to try.
    """

    seeds: list[bytes]
    path: Path
    read: Callable[[Path], object]
    max_bytes: int = 4096

    def run(self, data: bytes) -> object:
        """Read an input."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(data)
        return self.read(self.path)


def make_targets(folder: Path) -> dict[str, Target]:
    """Return the readers by name; their files are written below ``folder``."""
    return {**_text_targets(folder), **_binary_targets(folder), **_label_targets(folder)}


_MAP = (
    b'{"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32650"}}, '
    b'"features": [{"type": "Feature", "properties": {"class": "ship", "score": 0.5}, "geometry": {"type": '
    b'"MultiPolygon", "coordinates": [[[[1, 2], [9, 2], [9, 8], [1, 2]], [[3, 3], [4, 3], [4, 4], [3, 3]]]]}}]}'
)
_VRT = (
    b'<VRTDataset rasterXSize="9" rasterYSize="9"><Metadata domain="OVERVIEWS"><MDI key="a">b</MDI></Metadata>'
    b'<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
    b"</SimpleSource></VRTRasterBand></VRTDataset>"
)


def _text_targets(folder: Path) -> dict[str, Target]:
    instances = folder / "instances.json"
    instances.write_text(json.dumps(INSTANCES))
    valid = read_instances(instances)
    classes = ["ship", "large-vehicle"]
    return {
        "labels": Target([LABEL], folder / "P1.txt", read_labels),
        "labels with classes": Target([LABEL], folder / "P1.txt", lambda path: read_labels(path, classes)),
        "task1": Target([TASK1], folder / "Task1_ship.txt", read_detections),
        "merge": Target([TASK1], folder / "tiles" / "Task1_ship.txt", _merge),
        "tile names": Target(
            [b"P1__1024__0___824", b"P1__0.5__-3___7"], folder / "name.txt",
            lambda path: parse_tile_name(path.read_bytes().decode("latin-1")),
        ),
        "instances": Target([json.dumps(INSTANCES).encode()], folder / "i.json", read_instances),
        "results": Target([json.dumps(RESULTS).encode()], folder / "r.json", lambda path: read_results(path, valid)),
        "manifest": Target([json.dumps(MANIFEST).encode()], folder / "manifest.json", read_manifest),
        "geojson of a map": Target([_MAP], folder / "a.geojson", read_geojson_layer),
        "vrt sources": Target([_VRT], folder / "a.vrt", check_vrt_sources),
        "world file": Target([b"0.5\n0\n0\n-0.5\n1000.25\n2000\n"], folder / "a.pgw", read_world_file),
        "safe config": Target(
            [CONFIG], folder / "own.py", lambda path: read_safe_config(path, lambda base: {"heads": [{}]})
        ),
    }  # fmt: skip


def _merge(path: Path) -> object:
    return merge_folder(path.parent, path.parents[1] / "merged", workers=1, progress=False)


def _binary_targets(folder: Path) -> dict[str, Target]:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 13, 3), np.uint8)
    images = {
        f"{suffix} image": Target([encode_image(pixels, suffix)], folder / f"a.{suffix}", _read_pixels, max_bytes=8192)
        for suffix in ("png", "jpg", "tif", "bmp")
    }
    checkpoints = [_checkpoint(zipped) for zipped in (True, False)]
    return {
        **images,
        "submission": Target([_submission()], folder / "s.zip", lambda path: check_submission(path, ("ship", "plane"))),
        "checkpoint": Target(checkpoints, folder / "a.pth", read_content, max_bytes=8192),
        "safetensors": Target([_safetensors()], folder / "a.safetensors", read_content),
        "onnx metadata": Target([onnx_bytes({"name": "demo"})], folder / "a.onnx", read_onnx_metadata),
        "model record": Target([_record()], folder / "b.onnx", _read_record),
    }


def _read_pixels(path: Path) -> object:
    header = read_header(path)
    if header is None or header.width * header.height > 10**6:  # larger images are limited by the user's memory
        return header
    with open_image(path) as reader:
        return reader.read((0, 0, reader.width, reader.height))


def _read_record(path: Path) -> object:
    info = ModelInfo.from_json(path.read_bytes().decode("latin-1"), path)
    path.write_bytes(onnx_bytes({KEY: info.to_json()}))
    read = read_model_info(path)
    return read and read.config and read.config_values()


def _record() -> bytes:
    info = ModelInfo(
        config_name="demo", classes=("plane", "ship"), box_type="obb", angle_version="le90", window=Window(256, 64),
        preprocessing=Preprocessing((0, 0, 0), (255, 255, 255), "RGB", 32, resize=(800, 1333), bits=11),
        thresholds=Thresholds(0.05, 0.1, 2000, 2000, 0.1), package_version="0.1.0", config="model = {'depth': 18}\n",
        training_data=TrainingData(10, 2, {"plane": 3}, {"0.99": 60.5}, {"0.99": 20}),
    )  # fmt: skip
    return info.to_json().encode()


def _submission() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Task1_ship.txt", b"P1 0.91 20 20 80 20 80 60 20 60\n")
        archive.writestr("Task1_plane.txt", b"")
    return buffer.getvalue()


def _checkpoint(zipped: bool) -> bytes:
    meta = {"epoch": 12, "iter": 3, "seed": 0, "mean": np.float64(0.5), "CLASSES": ("ship",), "log": np.ones(3)}
    buffer = io.BytesIO()
    content = {"state_dict": {"w": torch.ones(2, 3), "module.b": torch.zeros(1)}, "meta": meta}
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _safetensors() -> bytes:
    return safetensors_bytes({"w": torch.ones(2), "b": torch.zeros(1, 2)}, {"epoch": 12, "classes": ["ship"]})


def _label_targets(folder: Path) -> dict[str, Target]:
    """Return one reader per label format: what its writer writes is damaged."""
    seeds = {name: _labels_in(name, folder / "seeds" / name) for name in FORMATS if FORMATS[name].write is not None}
    seeds |= {"soda-a": json.dumps(SODA_A).encode(), "ucas-aod": UCAS_AOD}
    targets = {}
    for name, seed in seeds.items():
        path = folder / "formats" / name / f"P1{get_format(name).suffixes[0]}"
        read = partial(read_label_set, format_name=name, classes=["plane", "ship"])
        targets[f"format {name}"] = Target([seed], path, read)
    path = folder / "formats" / "auto" / "P1.json"
    found = [seeds[name] for name in seeds if ".json" in get_format(name).suffixes]
    targets["format recognized"] = Target(found, path, lambda path: read_label_set(path, AUTO))
    return targets


def _labels_in(name: str, folder: Path) -> bytes:
    folder.mkdir(parents=True)
    each, polygons = get_format(name), np.array([[1.0, 2, 11, 2, 11, 8, 1, 8], [20, 20, 40, 20, 40, 30, 20, 30]])
    image = ImageLabels("P1.png", Path("P1.txt"), polygons, ("ship", "plane"), np.array([0, 0]), None, (64, 64))
    each.write([image], ["plane", "ship"], folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in each.suffixes and path.stem != "classes")
    return files[0].read_bytes()
