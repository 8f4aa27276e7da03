"""Run ``rotated-atss split``."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["split", *sys.argv[1:]]))
