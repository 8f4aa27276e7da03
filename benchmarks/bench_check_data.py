"""Checking images and label files with check-data: all pixels decoded, headers only, and many label files.

Images are those of dota_sample in $ROTATED_ATSS_DATA or in ../shared/data, otherwise synthetic scenes, repeated until
there are --images. Label files have 50 random objects each, in images whose headers alone are read.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks import dota_data
from benchmarks.records import Record, Row
from benchmarks.timing import time_one
from rotated_atss.data_check.check import check_data
from rotated_atss.data_check.parts import DataPart
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.labels import format_labels, read_labels

OPTIONS = dict(repeats=3, data="", images=100, label_files=4000, processes=2)

OBJECTS_PER_FILE = 50
SIDE_PX = 1024


def measure(args: argparse.Namespace) -> Record:
    data, source = dota_data.find_data(args.data, args.folder)
    images = dota_data.repeat(data, args.images, args.folder / "repeated")
    labels = write_label_files(args.folder / "labels", args.label_files)
    cases = {"pixels decoded": (images, True), "headers only": (images, False), "label files": (labels, False)}
    rows = [{"case": case, **time_check(*given, args)} for case, given in cases.items()]
    settings = {name: value for name, value in vars(args).items() if name != "folder"}
    return {"settings": {**settings, "data": source}, "rows": rows, "targets": []}


def write_label_files(folder: Path, count: int) -> Path:
    """Write ``count`` label files, and links to one blank image."""
    rng = np.random.default_rng(0)
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "blank.png"), np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))
    names = rng.choice(CLASSES["v1.0"], OBJECTS_PER_FILE).tolist()
    offsets = np.array([0, 0, 40, 0, 40, 20, 0, 20])
    for number in range(count):
        corners = rng.uniform(0, SIDE_PX - 50, (OBJECTS_PER_FILE, 2)).round(1)
        polygons = np.tile(corners, 4) + offsets
        (folder / "images" / f"P{number}.png").symlink_to(folder / "blank.png")
        text = format_labels(polygons, names, np.zeros(OBJECTS_PER_FILE, np.int64))
        (folder / "labelTxt" / f"P{number}.txt").write_bytes(text)
    return folder


def time_check(folder: Path, decode: bool, args: argparse.Namespace) -> Row:
    """Time the check of one folder, and count what it reads."""
    part = DataPart(folder / "images", folder / "labelTxt")
    run = partial(check_data, [part], classes=CLASSES["v1.0"], decode=decode, workers=args.processes, progress=False)
    times = time_one(run, args.repeats)
    images = list_images(folder / "images")
    megapixels = sum(np.prod(cv2.imread(str(path)).shape[:2]) for path in images) / 1e6 if decode else 0.0
    objects = sum(len(read_labels(path)) for path in sorted((folder / "labelTxt").iterdir()))
    return {
        "images": len(images), "objects": objects, "megapixels": round(float(megapixels), 1), "rotated_atss": times,
        "images_per_second": round(len(images) / times["median"], 1),
    }  # fmt: skip
