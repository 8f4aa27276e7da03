"""Run ``rotated-atss test``, the equivalent of MMDetection's ``tools/test.py``."""

import sys

from rotated_atss.cli import run_program

if __name__ == "__main__":
    run_program(["test", *sys.argv[1:]])
