"""Run ``rotated-atss merge``."""

import sys

from rotated_atss.cli import run_program

if __name__ == "__main__":
    run_program(["merge", *sys.argv[1:]])
