"""CPU seconds and duration of each command in a fresh process, with little to do.

``split`` cuts one scene into 20 tiles; ``train``, ``test`` and ``predict`` run an untrained demo model on one tile of
256 px. The start-up of ``train`` ends where its first iteration begins; a second row has one iteration and its
checkpoint. The exported model predicts on an image of 1024 px in one window. Targets are CPU seconds, 0.3 without a
model and 2 over ``import torch`` for ``predict``, ``test`` and the start of ``train``, and a duration of 3 seconds for
``predict`` with the exported model.

``--python`` runs the commands in another environment with the code of this checkout: MMDetection imports more where
more is installed (scikit-learn and pandas are development packages of this project). It needs the extras ``train`` and
``onnx``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.memory import children_cpu_seconds
from benchmarks.records import ROOT, Record, Row, target
from rotated_atss.synthetic import generate_splits

OPTIONS = dict(repeats=5, python=sys.executable)

CONFIG, CHECKPOINT = "rotated_atss_obb_r18_demo_le90", "work/iter_1.pth"
TORCH, TRAIN, TRAIN_START = "import torch", "train", "train, before its first iteration"
MODEL_COMMANDS = ("predict", "test", TRAIN_START)
EXPORTED, PREDICT_EXPORTED = "model.onnx", "predict model.onnx"
START_CONFIG = "start.py"  # its training ends its process where the first iteration begins
START_CONFIG_TEXT = f"""
_base_ = [{CONFIG!r}]
custom_imports = dict(imports=['rotated_atss.detection', 'exit_at_first_iteration'])
custom_hooks = [*_base_.custom_hooks, dict(type='ExitHook')]
"""
EXIT_MODULE = """
import os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
@HOOKS.register_module()
class ExitHook(Hook):
    def before_train_iter(self, *_, **__):
        os._exit(0)
"""


def measure(args: argparse.Namespace) -> Record:
    rows = command_rows(prepare(args.folder, args.python), args.folder, args.repeats)
    # whether the environment has more than the extra ``train``
    development = not subprocess.run([args.python, "-c", "import sklearn, pandas"], capture_output=True).returncode
    return {"settings": {"development_packages": development}, "rows": rows, "targets": targets(rows)}


def prepare(folder: Path, python: str = sys.executable) -> dict[str, list[str]]:
    """Write the inputs of all commands and return the words of each process."""
    generate_splits(folder / "scenes", {"val": 1}, seed=0)
    (image,) = (folder / "scenes" / "val" / "images").iterdir()
    tile = f"{image.stem}__256__0___0"
    inputs = ["--images", "scenes/val/images", "--labels", "scenes/val/labelTxt"]
    for name, image_id in (("task1_of_tiles", tile), ("task1", image.stem)):
        (folder / name).mkdir()
        (folder / name / "Task1_plane.txt").write_text(f"{image_id} 0.9 20 20 40 20 40 30 20 30\n", encoding="utf-8")
    split = ["split", *inputs, "--size", "256", "--gap", "64", "--workers", "1", "--overwrite", "--out", "tiles"]
    one_tile = [*split[:1], "--images", "tile/images", "--labels", "tile/labelTxt", *split[5:-1], "tile_split"]
    options = ["--cfg-options", "train_dataloader.dataset.data_root=tile_split", "train_dataloader.batch_size=1"]
    words = {
        "--version": ["--version"],
        "predict --help": ["predict", "--help"],
        "split": split,
        "merge": ["merge", "task1_of_tiles", "--out", "merged", "--workers", "1"],
        "evaluate": ["evaluate", "--detections", "task1", "--labels", "scenes/val/labelTxt", "--workers", "1"],
        "check-submission": ["check-submission", "task1", "--classes", "plane,"],
        "draw": ["draw", *inputs, "--out", "drawn"],
        TRAIN_START: ["train", START_CONFIG, "--iterations", "1", "--workers", "0", "--work-dir", "start", *options],
        TRAIN: ["train", CONFIG, "--iterations", "1", "--workers", "0", "--work-dir", "work", "--overwrite", *options],
        "test": ["test", CONFIG, CHECKPOINT, "--data", "tile_split", "--workers", "0"],
        "predict": ["predict", CONFIG, CHECKPOINT, "tile/images/A.png", "--size", "0"],
        PREDICT_EXPORTED: ["predict", EXPORTED, "large.png", "--size", "1024", "--out", "exported"],
    }
    (folder / "exit_at_first_iteration.py").write_text(EXIT_MODULE, encoding="utf-8")
    (folder / START_CONFIG).write_text(START_CONFIG_TEXT, encoding="utf-8")
    start = [sys.executable, "-W", "ignore", "-m", "rotated_atss"]
    run([*start, *split], folder)
    for name, suffix in (("images", ".png"), ("labelTxt", ".txt")):
        (folder / "tile" / name).mkdir(parents=True)
        shutil.copy(folder / "tiles" / name / f"{tile}{suffix}", folder / "tile" / name / f"A{suffix}")
    for each in (one_tile, words[TRAIN], ["export", CONFIG, CHECKPOINT, "--onnx", EXPORTED]):
        run([*start, *each], folder)
    pixels = cv2.imread(str(folder / "tile" / "images" / "A.png"))
    cv2.imwrite(str(folder / "large.png"), np.tile(pixels, (4, 4, 1)))
    start = [python, "-W", "ignore"]
    return {
        TORCH: [*start, "-c", TORCH],
        **{name: [*start, "-m", "rotated_atss", *each] for name, each in words.items()},
    }


def command_rows(commands: dict[str, list[str]], folder: Path, repeats: int) -> list[Row]:
    """Run all commands in turn, ``repeats`` times after one discarded run of each; return the medians of each."""
    turns = [{name: run(words, folder) for name, words in commands.items()} for _ in range(repeats + 1)][1:]
    rows = []
    for name in commands:
        cpu_s, wall_s = (statistics.median(column) for column in zip(*(turn[name] for turn in turns)))
        rows.append({"command": name, "cpu_s": round(cpu_s, 3), "wall_s": round(wall_s, 3)})
    return rows


def run(words: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run a process and return its CPU seconds and its duration in seconds."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    before, begin = children_cpu_seconds(), time.perf_counter()
    subprocess.run(words, cwd=folder, env=variables, check=True, capture_output=True)
    return children_cpu_seconds() - before, time.perf_counter() - begin


def targets(rows: Sequence[Row]) -> list[Row]:
    """Compare the CPU seconds of each command, and the duration with the exported model, with their targets."""
    cpu_s = {row["command"]: row["cpu_s"] for row in rows}
    wall_s = {row["command"]: row["wall_s"] for row in rows}
    torch_s = cpu_s.pop(TORCH)
    del cpu_s[TRAIN], cpu_s[PREDICT_EXPORTED]
    of_commands = [
        target(f"{name}, CPU s over `{TORCH}`", round(seconds - torch_s, 3), at_most=2.0)
        if name in MODEL_COMMANDS
        else target(f"{name}, CPU s", seconds, at_most=0.3)
        for name, seconds in cpu_s.items()
    ]
    return [*of_commands, target(f"{PREDICT_EXPORTED}, s", wall_s[PREDICT_EXPORTED], at_most=3.0)]
