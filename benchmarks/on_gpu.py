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
# step -> package that it needs, and the arguments of python
STEPS = {
    "GPU tests": ("pytest", "-m pytest -q -m gpu tests"),
    "IoU": ("torch", "benchmarks/harness.py iou --device {device}"),
    "NMS": ("torch", "benchmarks/harness.py nms --device {device}"),
    "assignment": ("torch", "benchmarks/harness.py assign --device {device} --baseline-max-gt 5000"),
    "training step": ("mmdet", "benchmarks/harness.py train-step --device {device} --batch {batch} --repeats 10 "
                      "--baseline-amp"),
    "inference": ("mmdet", "benchmarks/harness.py inference --device {device} --batch {batches} --repeats 20 "
                  "--baseline-repeats 10 --baseline-amp"),
    "models": ("mmdet", "benchmarks/harness.py models --device {device}"),
    "tables": ("torch", "benchmarks/make_table.py --show"),
}  # fmt: skip


def run(name: str, package: str, arguments: str) -> str:
    """Run one step and return ``done``, ``failed`` or why it was skipped."""
    if importlib.util.find_spec(package) is None:
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
    values = {"device": args.device, "batch": args.batch, "batches": " ".join(map(str, args.inference_batch))}
    results = {name: run(name, package, words.format_map(values)) for name, (package, words) in STEPS.items()}
    print("\n".join(f"{name}: {result}" for name, result in results.items()))
    return int("failed" in results.values())


if __name__ == "__main__":
    sys.exit(main())
