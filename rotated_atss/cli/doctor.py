"""``rotated-atss doctor``."""

from __future__ import annotations

import argparse

from rotated_atss import doctor

HELP = "Tell what is installed, what is active, and the exact command that mends what is off."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")


def run(args: argparse.Namespace) -> int:
    """0 when everything works, also without a GPU; 1 when something is broken."""
    checks = doctor.collect()
    print(doctor.as_json(checks) if args.json else doctor.as_text(checks))
    return doctor.exit_code(checks)
