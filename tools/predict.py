"""The same as ``rotated-atss predict``, for people who come from MMDetection."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
