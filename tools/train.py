"""Run ``rotated-atss train``, the equivalent of MMDetection's ``tools/train.py``."""

import sys

from rotated_atss.cli import run_program

if __name__ == "__main__":
    run_program(["train", *sys.argv[1:]])
