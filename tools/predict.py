"""Run ``rotated-atss predict``."""

import sys

from rotated_atss.cli import run_program

if __name__ == "__main__":
    run_program(["predict", *sys.argv[1:]])
