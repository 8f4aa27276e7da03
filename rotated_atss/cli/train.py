"""``rotated-atss train``: train a config."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from typing import Any

from rotated_atss.checkpoints.registry import find_file_or_entry
from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._device_option import add_device_argument
from rotated_atss.cli._framework_import import import_framework
from rotated_atss.cli._preflight import check_inputs_exist

HELP = "Train a config on tiles written by `rotated-atss split`, or on a COCO dataset."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="path or bare name of a config")
    parser.add_argument(
        "--data", metavar="DIR",
        help="folder of tiles, folder with tiles in its subfolders train (or trainval) and val, or folder of a COCO "
        "dataset (default: the data folder of the config)",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=int, metavar="N",
        help="number of epochs; learning rate schedules are scaled in proportion (default: as in the config)",
    )  # fmt: skip
    parser.add_argument("--work-dir", metavar="DIR", help="folder for checkpoints and logs (default: work_dirs/CONFIG)")
    parser.add_argument(
        "--overwrite", action="store_true",
        help="remove the checkpoints of an earlier training run from the work folder when this run starts",
    )  # fmt: skip
    _add_start_arguments(parser)
    parser.add_argument("--amp", action="store_true", help="train in mixed precision (bfloat16) on CPU or CUDA")
    parser.add_argument(
        "--compile", action="store_true",
        help="compile backbone and neck with torch.compile, which slows down the first steps and speeds up the later "
        "ones; needs a C++ compiler",
    )  # fmt: skip
    parser.add_argument(
        "--on-nonfinite-loss", choices=("stop", "skip"),
        help="what to do when the loss or a gradient of a batch is not finite: stop, or skip the batch (default: as in "
        "the config, which is stop). In both cases the batch is written to WORK_DIR/nonfinite_iter_N.pth for "
        "`rotated-atss replay`",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", help="random seed")
    parser.add_argument("--deterministic", action="store_true", help="use deterministic algorithms only")
    parser.add_argument(
        "--from-scratch", action="store_true",
        help="train the whole backbone without pretrained weights (init_cfg=None, frozen_stages=-1, norm_eval=False)",
    )  # fmt: skip
    parser.add_argument(
        "--iterations", type=int, metavar="N", help="smoke test: train N iterations, log each, skip validation"
    )
    parser.add_argument(
        "--log-to", metavar="NAMES",
        help="where to log losses, AP and validation pictures in addition to the work folder: none, or one or more of "
        "tensorboard, wandb, mlflow and clearml, separated by commas (default: as in the config, which is tensorboard)",
    )  # fmt: skip
    add_shared_arguments(parser)


def _add_start_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that determine the initial weights and state of a training run."""
    parser.add_argument(
        "--resume", nargs="?", const=True, default=False, metavar="CHECKPOINT",  # True stands for the latest checkpoint
        help="resume from CHECKPOINT, or from the latest checkpoint in the work folder",
    )  # fmt: skip
    parser.add_argument(
        "--init-from", metavar="CHECKPOINT|NAME",
        help="start from the weights of CHECKPOINT (.pth or .safetensors) or of a published model, which is downloaded "
        "if necessary (`rotated-atss models list` shows the names)",
    )  # fmt: skip
    parser.add_argument(
        "--reset-class-layer", action="store_true",
        help="with --init-from: reinitialize the class layer if CHECKPOINT has other classes; implied by --classes",
    )  # fmt: skip


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``train`` and ``test`` share."""
    add_classes_argument(parser, "classes of your data, for all datasets and the model", "those of the config")
    add_cfg_options(parser)
    add_device_argument(parser)
    parser.add_argument(
        "--workers", type=_parse_num_workers, metavar="N",
        help="data loading processes per GPU; with a fixed seed, the results do not depend on this number (default: "
        "the value in the config; on a GPU, this value is raised to min(8, cores per GPU) if it is smaller)",
    )  # fmt: skip
    parser.add_argument(
        "--on-bad-image", choices=("stop", "skip"), default="stop",
        help="stop at an image that cannot be read, or skip it; skipped images are logged at the end and listed in "
        "WORK_DIR/bad_images.txt (default: stop)",
    )  # fmt: skip
    parser.add_argument(
        "--launcher", choices=("none", "pytorch"), default="none",
        help="use pytorch under torchrun (tools/dist_train.sh); default: none",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print only warnings, errors and the result")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0, help=argparse.SUPPRESS)


def set_local_rank(args: argparse.Namespace) -> None:
    """Set ``LOCAL_RANK`` from --local-rank for launchers that, unlike torchrun, pass the option and set no variable."""
    if args.launcher != "none":
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))


def print_result(result: Mapping[str, Any]) -> None:
    """Print the result of a run as one line of JSON; in a distributed run, only the first process prints it."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps(result, ensure_ascii=False), flush=True)


def _parse_num_workers(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"the number of processes must be an integer of at least 0, got '{text}'")
    return int(text)


def run(args: argparse.Namespace) -> int:
    check_inputs_exist(args.config, args.resume if isinstance(args.resume, str) else None)
    if args.init_from is not None:
        find_file_or_entry(args.init_from)  # reports a wrong name before MMDetection is imported
    import_framework()
    from rotated_atss.detection.engine.options import TrainOptions
    from rotated_atss.detection.engine.runner import run_training

    set_local_rank(args)
    options = TrainOptions(
        work_dir=args.work_dir, overwrite=args.overwrite, resume=args.resume, amp=args.amp, compile=args.compile,
        seed=args.seed, deterministic=args.deterministic, from_scratch=args.from_scratch, iterations=args.iterations,
        device=args.device, launcher=args.launcher, workers=args.workers, classes=args.classes, data=args.data,
        epochs=args.epochs, init_from=args.init_from, reset_class_layer=args.reset_class_layer,
        on_bad_image=args.on_bad_image, on_nonfinite_loss=args.on_nonfinite_loss,
        cfg_options=parse_cfg_options(args.cfg_options), quiet=args.quiet, log_to=args.log_to,
    )  # fmt: skip
    result = run_training(args.config, options)
    if not args.quiet:
        print(f"checkpoints and logs: {result['work_dir']}")
    print_result(result)
    return 0
