"""Run ``rotated-atss merge``."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["merge", *sys.argv[1:]]))
