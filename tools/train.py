"""Run ``rotated-atss train``, as ``tools/train.py`` of MMDetection."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
