"""Merge tile detections into full images, as ``rotated-atss merge`` does."""

import sys

from rotated_atss.cli import main

if __name__ == "__main__":
    sys.exit(main(["merge", *sys.argv[1:]]))
