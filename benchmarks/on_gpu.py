"""Everything that wants a GPU, in one go: the GPU tests, then IoU, NMS, assignment, a step, inference, the models, and
the table of all records.

    python benchmarks/on_gpu.py [--batch 8] [--inference-batch 1 8] [--device cuda]

It needs torch with CUDA and this checkout; the detector's part needs the training packages, and mmcv is a peer where
its CUDA ops are compiled (MMCV_CUDA=1 make setup). Each step runs on whatever the one before it said; the exit status
is 1 if one failed, and 0 with one line where there is no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def steps(device: str, batch: int, inference: list[int]) -> dict[str, list[str]]:
    """Name -> command line after ``python``."""
    on = ["--device", device]
    return {
        "tests on the GPU": ["-m", "pytest", "-q", "-m", "gpu", "tests"],
        "IoU": ["benchmarks/bench_iou.py", *on],
        "NMS": ["benchmarks/bench_nms.py", *on],
        "assignment": ["benchmarks/bench_assign.py", *on, "--peer-most", "5000"],
        "training step": [
            "benchmarks/bench_train_step.py",
            *on,
            "--batch",
            str(batch),
            "--repeats",
            "10",
            "--peer-amp",
        ],
        "inference": [
            "benchmarks/bench_inference.py",
            *on,
            "--batch",
            *map(str, inference),
            *["--repeats", "20", "--peer-repeats", "10", "--peer-amp"],
        ],
        "models": ["benchmarks/bench_models.py", *on],
        "table": ["benchmarks/make_table.py", "--show"],
    }


NEEDS = {"tests on the GPU": "pytest", "training step": "mmdet", "inference": "mmdet", "models": "mmdet"}


def run(name: str, words: list[str]) -> str:
    """``done``, ``failed`` or why it was left out."""
    needed = NEEDS.get(name)
    if needed and importlib.util.find_spec(needed) is None:
        return f"left out: {needed} is not installed"
    print(f"== {name}: python {' '.join(words)}", flush=True)
    return "failed" if subprocess.run([sys.executable, *words], cwd=ROOT).returncode else "done"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=8, help="images of the training step")
    parser.add_argument("--inference-batch", type=int, nargs="+", default=[1, 8], help="images at a time, one or more")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"no CUDA device: torch {torch.__version__} sees none on this machine, nothing tested or measured")
        return 0
    print(f"{torch.cuda.get_device_name(args.device)}, torch {torch.__version__}", flush=True)
    ended = {name: run(name, words) for name, words in steps(args.device, args.batch, args.inference_batch).items()}
    print("\n".join(f"{name}: {how}" for name, how in ended.items()))
    return int("failed" in ended.values())


if __name__ == "__main__":
    sys.exit(main())
