"""Run ``rotated-atss train``, the equivalent of MMDetection's ``tools/train.py``."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
