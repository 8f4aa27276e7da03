"""End a training at random moments, resume it with the same command, and compare with an uninterrupted one.

    python benchmarks/reliability/kill_training.py [--kills 20] [--seed 0] [--record]

Every second signal is SIGTERM, which lets the training write a checkpoint, the others are SIGKILL. Loader processes are
used in every second run. When a training is complete, its weights are compared bit for bit with those of the
uninterrupted one, and a new one begins. Ends with an error if a weight differs or a run fails.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from benchmarks.reliability.kills import compare, run_forked, run_script
from rotated_atss.detection.engine.options import TrainOptions
from rotated_atss.detection.engine.runner import train
from rotated_atss.io.signals import TerminatedError
from rotated_atss.synthetic import generate_scenes

CONFIG = "rotated_atss_obb_r50_fpn_1x_dota_le90"
EPOCHS, TILES, BATCH_SIZE = 3, 12, 2
FINAL = f"epoch_{EPOCHS}.pth"
NARROW = {
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 16,
    "model.backbone.stem_channels": 16,
    "model.backbone.frozen_stages": -1,
    "model.backbone.norm_eval": False,
    "model.backbone.init_cfg": None,
    "model.neck.in_channels": [16, 32, 64, 128],
    "model.neck.out_channels": 16,
    "model.bbox_head.in_channels": 16,
    "model.bbox_head.feat_channels": 16,
    "model.bbox_head.stacked_convs": 1,
    "train_dataloader.dataset.pipeline.2.scale": (128, 128),
    "train_dataloader.batch_size": BATCH_SIZE,
    "train_cfg.max_epochs": EPOCHS,
    "visualizer.vis_backends": [{"type": "LocalVisBackend"}],
}


def kill_trainings(folder: Path, kills: int, seed: int) -> dict[str, object]:
    """Signal trainings until ``kills`` signals have ended one; see :func:`run_script`."""
    draw, work = random.Random(seed), folder / "work"
    generate_scenes(folder / "tiles", TILES, size_wh=(160, 160), seed=seed, progress=False)
    begin = time.monotonic()
    if run_forked(lambda: train_here(folder, "expected", workers=0)) != 0:
        sys.exit("the uninterrupted training failed")
    seconds, expected = time.monotonic() - begin, weights(folder / "expected")
    counts: Counter[str] = Counter()
    while counts["SIGKILL"] + counts["SIGTERM"] < kills:
        number = counts["runs"]
        kind = (signal.SIGKILL, signal.SIGTERM)[number % 2]
        after = draw.uniform(0, seconds)
        training = partial(train_here, folder, "work", workers=number // 2 % 2)
        code = run_forked(training, lambda passed, after=after: passed > after, kind)
        counts["runs"] += 1
        counts["SIGKILL"] += code == -signal.SIGKILL
        counts["SIGTERM"] += code == 128 + signal.SIGTERM
        counts["checkpoints_of_signals"] += code == 128 + signal.SIGTERM and (work / "interrupted.pth").exists()
        if code not in (0, -signal.SIGKILL, 128 + signal.SIGTERM):
            sys.exit(f"exit code {code}, see {folder / 'errors.txt'}")
        if code == 0:
            counts["complete_trainings"] += compare(work, expected, weights, torch.equal)
    if run_forked(lambda: train_here(folder, "work", workers=0)) != 0:
        sys.exit("the last training failed")
    counts["complete_trainings"] += compare(work, expected, weights, torch.equal)
    return {
        **counts, "iterations_per_training": EPOCHS * TILES // BATCH_SIZE, "weights_compared": len(expected),
        "different": 0,
    }  # fmt: skip


def train_here(folder: Path, name: str, workers: int) -> int:
    """Train as the command does, without repeating the imports; return the exit code."""
    for target in (1, 2):
        os.dup2(os.open(folder / "errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), target)
    logging.raiseExceptions = False
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    torch.set_num_threads(1)
    options = TrainOptions(
        work_dir=folder / name, data=folder / "tiles", resume=True, seed=1, deterministic=True, workers=workers,
        device="cpu", cfg_options=NARROW,
    )  # fmt: skip
    try:
        train(CONFIG, options)
    except TerminatedError as error:
        return error.exit_code
    except BaseException as error:  # the process ends here
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    return 0


def weights(work: Path) -> dict[str, torch.Tensor]:
    return torch.load(work / FINAL, weights_only=False)["state_dict"]


if __name__ == "__main__":
    run_script("kill_training", __doc__, kill_trainings, kills=20, seed=0)
