"""``rotated-atss doctor``."""

from __future__ import annotations

import argparse

from rotated_atss import doctor

HELP = "Check the installed packages, the active backends and the configs, and print the command that fixes a problem."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print machine-readable JSON")


def run(args: argparse.Namespace) -> int:
    checks = doctor.collect()
    print(doctor.as_json(checks) if args.json else doctor.as_text(checks))
    return doctor.exit_code(checks)
