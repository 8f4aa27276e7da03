"""Run ``rotated-atss evaluate``."""

import sys

from rotated_atss.cli import run_program

if __name__ == "__main__":
    run_program(["evaluate", *sys.argv[1:]])
