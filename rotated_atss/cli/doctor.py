"""``rotated-atss doctor``: check the installation."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rotated_atss import doctor

HELP = (
    "Check the installed packages, the active backends and the configs, and print the command that fixes each problem."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON",
    )


def run(args: argparse.Namespace) -> int:
    checks = doctor.run_checks()
    code = doctor.exit_code(checks)
    if args.json:
        print(json.dumps({"ok": not code, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        print(doctor.as_text(checks))
    return code
