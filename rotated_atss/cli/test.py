"""``rotated-atss test``: detect, evaluate, write what was found."""

from __future__ import annotations

import argparse
import os

from rotated_atss.cli._early import check_given
from rotated_atss.cli.train import add_shared_arguments, parse_options
from rotated_atss.dota.classes import DOTA_VERSIONS

HELP = (
    "Detect on tiles, merge into full images, evaluate where labels are known, write the submission; with a COCO "
    "config, detect on images and print COCO's twelve numbers."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="path or bare name of a config")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="weights of that model")
    parser.add_argument("--data", metavar="DIR", help="folder of tiles, or of a COCO dataset, instead of the config's")
    parser.add_argument(
        "--labels", action="append", metavar="DIR",
        help="labelTxt of the full images, may be repeated (default: what the split's manifest names); "
        "COCO: the instances JSON to test on",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR",
        help="folder for ap.json and the merged Task1_*.txt, or COCO's results.json (default: WORK_DIR/merged, "
        "WORK_DIR/results)",
    )  # fmt: skip
    parser.add_argument("--submission", metavar="ZIP", help="write the zip for DOTA's server")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation: the config's tta_pipeline, merged")
    parser.add_argument(
        "--dota-version", choices=DOTA_VERSIONS, help="how DOTA counts difficult objects (default: as the config says)"
    )
    parser.add_argument("--work-dir", metavar="DIR", help="folder of logs (default: work_dirs/CONFIG)")
    add_shared_arguments(parser)


def run(args: argparse.Namespace) -> int:
    check_given(args.config, args.checkpoint)
    from rotated_atss.detection.engine.options import TestOptions
    from rotated_atss.detection.engine.runner import test

    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    options = TestOptions(
        work_dir=args.work_dir, data=args.data, labels=args.labels, out=args.out, submission=args.submission,
        tta=args.tta, dota_version=args.dota_version, launcher=args.launcher, workers=args.workers,
        cfg_options=parse_options(args.cfg_options),
    )  # fmt: skip
    test(args.config, args.checkpoint, options)
    return 0
