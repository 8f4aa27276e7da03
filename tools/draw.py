"""The same as ``rotated-atss draw``, for people who come from MMDetection."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["draw", *sys.argv[1:]]))
