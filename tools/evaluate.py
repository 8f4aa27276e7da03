"""Run ``rotated-atss evaluate``."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
