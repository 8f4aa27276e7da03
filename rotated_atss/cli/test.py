"""``rotated-atss test``."""

from __future__ import annotations

import argparse
import os

from rotated_atss.cli._config_options import parse_cfg_options
from rotated_atss.cli._preflight import add_model_arguments, split_model_arguments
from rotated_atss.cli.train import add_shared_arguments
from rotated_atss.dota.datasets import DATASET_NAMES

HELP = (
    "Detect objects on tiles, merge the detections into full images, evaluate them where labels exist, and write the "
    "submission. With a COCO config: detect on images and print COCO's twelve metrics."
)
MODEL_FORMS = ("MODEL", "CONFIG CHECKPOINT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser, MODEL_FORMS)
    parser.add_argument("--data", metavar="DIR", help="folder of tiles or of a COCO dataset (default: the config's)")
    parser.add_argument(
        "--labels", action="append", metavar="DIR",
        help="label folder (labelTxt) of the full images; repeatable (default: the label folders named in the split's "
        "manifest); with a COCO config: the instances JSON",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR",
        help="folder for ap.json and the merged Task1_<class>.txt, or for COCO's results.json (default: "
        "WORK_DIR/merged or WORK_DIR/results)",
    )  # fmt: skip
    parser.add_argument("--submission", metavar="ZIP", help="write a submission for the DOTA server to this zip file")
    parser.add_argument(
        "--tta", action="store_true", help="use test-time augmentation (the config's tta_model and tta_pipeline)"
    )
    parser.add_argument(
        "--dataset", "--dota-version", dest="dataset", choices=DATASET_NAMES, metavar="NAME",
        help=f"dataset whose evaluation rules apply: {', '.join(DATASET_NAMES)} (default: that of the config)",
    )  # fmt: skip
    parser.add_argument(
        "--work-dir", metavar="DIR", help="folder for logs and results (default: the folder of CHECKPOINT)"
    )
    add_shared_arguments(parser)


def run(args: argparse.Namespace) -> int:
    config, checkpoint, _ = split_model_arguments(args.inputs)
    from rotated_atss.detection.engine.options import TestOptions
    from rotated_atss.detection.engine.runner import test

    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    options = TestOptions(
        work_dir=args.work_dir, data=args.data, labels=args.labels, out=args.out, submission=args.submission,
        tta=args.tta, dataset=args.dataset, device=args.device, launcher=args.launcher, workers=args.workers,
        classes=args.classes,
        cfg_options=parse_cfg_options(args.cfg_options),
    )  # fmt: skip
    test(config, checkpoint, options)
    return 0
