"""Run ``rotated-atss test``, the equivalent of MMDetection's ``tools/test.py``."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
