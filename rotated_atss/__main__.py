"""Entry point of ``python -m rotated_atss``, the same as ``rotated-atss``."""

from rotated_atss.cli import run_program

run_program()
