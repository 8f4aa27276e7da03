"""``rotated-atss check-submission``: what the server would refuse, before it is sent."""

from __future__ import annotations

import argparse

from rotated_atss.dota.classes import DOTA_VERSIONS

HELP = "Check a submission for DOTA's server: files, image ids, coordinates, scores. Exits 1 if something is wrong."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``check-submission``."""
    parser.add_argument("submission", metavar="ZIP", help="the zip, or a folder of its files")
    parser.add_argument(
        "--version", default="v1.0", choices=DOTA_VERSIONS, help="DOTA version of the task (default: v1.0)"
    )
    parser.add_argument("--classes", metavar="CLASSES", help="another task's classes: names with commas, or a file")
    parser.add_argument("--images", metavar="DIR", help="the images that were to be detected on, to check the ids")


def run(args: argparse.Namespace) -> int:
    """Check, and print what was found, errors first."""
    from rotated_atss.dota.classes import resolve_classes
    from rotated_atss.dota.submission_check import check_submission

    findings = check_submission(args.submission, resolve_classes(args.classes or args.version), args.images)
    for finding in findings:
        print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    verdict = "not ready" if errors else "ready to be sent"
    print(f"{args.submission}: {verdict} ({errors} errors, {warnings} warnings)")
    return 1 if errors else 0
