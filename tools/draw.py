"""Run ``rotated-atss draw``."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["draw", *sys.argv[1:]]))
