"""Run ``rotated-atss draw``."""

import sys

from rotated_atss.cli import run_program

if __name__ == "__main__":
    run_program(["draw", *sys.argv[1:]])
