"""Run ``rotated-atss test``, as ``tools/test.py`` of MMDetection."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
