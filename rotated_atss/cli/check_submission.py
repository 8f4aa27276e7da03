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
    add_classes_argument(parser, "classes to use instead of those of --dota-version", "those of --dota-version")
    parser.add_argument(
        "--images", metavar="DIR", help="folder of the test images: check that every image id belongs to one of them"
    )


def run(args: argparse.Namespace) -> int:
    from rotated_atss.dota.classes import resolve_classes
    from rotated_atss.dota.submission_check import check_submission

    findings = check_submission(args.submission, resolve_classes(args.classes or args.dota_version), args.images)
    for finding in findings:
        print(finding)
    num_errors = sum(finding.level == "error" for finding in findings)
    num_warnings = len(findings) - num_errors
    verdict = "invalid" if num_errors else "valid"
    print(f"{args.submission}: {verdict} ({count_of(num_errors, 'error')}, {count_of(num_warnings, 'warning')})")
    return 1 if num_errors else 0
