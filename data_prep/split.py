"""Run ``rotated-atss split``."""

import sys

from rotated_atss.cli import run_program

if __name__ == "__main__":
    run_program(["split", *sys.argv[1:]])
