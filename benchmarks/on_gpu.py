"""Run the GPU tests and all benchmarks that support CUDA, then update docs/benchmarks.md.

    python benchmarks/on_gpu.py [--batch 8] [--inference-batch 1 8] [--device cuda]

It needs torch with CUDA and this checkout; training and inference need the training packages. mmcv is measured where
its CUDA ops are compiled (MMCV_CUDA=1 make setup). A failed step does not stop the others. The exit status is 1 if one
failed, and 0 without a GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
REQUIRED = {"GPU tests": "pytest", "training step": "mmdet", "inference": "mmdet", "models": "mmdet"}


def steps(device: str, batch: int, inference_batch: list[int]) -> dict[str, str]:
    """Return the arguments of ``python`` by step."""
    batches = " ".join(map(str, inference_batch))
    return {
        "GPU tests": "-m pytest -q -m gpu tests",
        "IoU": f"benchmarks/harness.py iou --device {device}",
        "NMS": f"benchmarks/harness.py nms --device {device}",
        "assignment": f"benchmarks/harness.py assign --device {device} --baseline-max-gt 5000",
        "training step": f"benchmarks/harness.py train-step --device {device} --batch {batch} --repeats 10 "
        "--baseline-amp",
        "inference": f"benchmarks/harness.py inference --device {device} --batch {batches} --repeats 20 "
        "--baseline-repeats 10 --baseline-amp",
        "models": f"benchmarks/harness.py models --device {device}",
        "tables": "benchmarks/make_table.py --show",
    }


def run(name: str, arguments: str) -> str:
    """Run one step and return ``done``, ``failed`` or why it was skipped."""
    package = REQUIRED.get(name)
    if package and importlib.util.find_spec(package) is None:
        return f"skipped: {package} is not installed"
    print(f"== {name}: python {arguments}", flush=True)
    return "failed" if subprocess.run([sys.executable, *arguments.split()], cwd=ROOT).returncode else "done"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=8, help="batch size of the training step")
    parser.add_argument("--inference-batch", type=int, nargs="+", default=[1, 8], help="batch sizes of inference")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"no CUDA device found by torch {torch.__version__}. Nothing is tested or measured.")
        return 0
    print(f"{torch.cuda.get_device_name(args.device)}, torch {torch.__version__}", flush=True)
    results = {name: run(name, words) for name, words in steps(args.device, args.batch, args.inference_batch).items()}
    print("\n".join(f"{name}: {result}" for name, result in results.items()))
    return int("failed" in results.values())


if __name__ == "__main__":
    sys.exit(main())
