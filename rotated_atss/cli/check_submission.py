"""``rotated-atss check-submission``: validate a submission for the DOTA server."""

from __future__ import annotations

import argparse

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.dota.datasets import DOTA_VERSIONS
from rotated_atss.errors import count_of

HELP = (
    "Validate a submission for the DOTA server: files, image ids, coordinates and scores. The exit code is 1 if there "
    "are errors."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", metavar="ZIP|DIR", help="zip file, or a folder with the same files")
    parser.add_argument(
        "--dota-version", default="v1.0", choices=DOTA_VERSIONS, help="DOTA version of the task (default: v1.0)"
    )
    add_classes_argument(parser, "class list that replaces that of --dota-version", "that of --dota-version")
    parser.add_argument("--images", metavar="DIR", help="test images: check that every image id is one of them")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.dota.classes import resolve_classes
    from rotated_atss.dota.submission_check import check_submission

    findings = check_submission(args.submission, resolve_classes(args.classes or args.dota_version), args.images)
    for finding in findings:
        print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    verdict = "invalid" if errors else "valid"
    print(f"{args.submission}: {verdict} ({count_of(errors, 'error')}, {count_of(warnings, 'warning')})")
    return 1 if errors else 0
