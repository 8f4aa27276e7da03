"""Run ``rotated-atss predict``."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
