"""``rotated-atss train``: train a config."""

from __future__ import annotations

import argparse
import os

from rotated_atss.cli._early import check_given

HELP = "Train a config on tiles that `rotated-atss split` has written, or on a COCO dataset."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="path or bare name of a config")
    parser.add_argument("--work-dir", metavar="DIR", help="folder of checkpoints and logs (default: work_dirs/CONFIG)")
    parser.add_argument(
        "--resume", nargs="?", const=True, default=False, metavar="CHECKPOINT",
        help="go on from CHECKPOINT, or from the latest one of the work folder",
    )  # fmt: skip
    parser.add_argument("--amp", action="store_true", help="mixed precision: bfloat16 on CPU and CUDA")
    parser.add_argument(
        "--compile", action="store_true",
        help="torch.compile backbone and neck: the first steps take minutes, the others less; needs a C++ compiler",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", help="seed of everything that is random")
    parser.add_argument(
        "--deterministic", action="store_true", help="only algorithms that give the same result on every run"
    )
    parser.add_argument(
        "--from-scratch", action="store_true",
        help="no pretrained backbone; trains all of it (init_cfg=None, frozen_stages=-1, norm_eval=False)",
    )  # fmt: skip
    parser.add_argument(
        "--iterations", type=int, metavar="N", help="train N steps only, log each and do not validate: a first look"
    )
    add_shared_arguments(parser)


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``train`` and ``test`` have in common."""
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the config, as MMDetection's"
    )
    parser.add_argument(
        "--workers", type=_number_of_processes, metavar="N",
        help="processes that load images, for each GPU (default: the config's number; on a GPU its share of the cores, "
        "at most 8); what a seed gives depends on it",
    )  # fmt: skip
    parser.add_argument(
        "--launcher", choices=("none", "pytorch"), default="none", help="pytorch under torchrun (tools/dist_train.sh)"
    )
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0, help=argparse.SUPPRESS)


def _number_of_processes(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number of processes, 0 or more, not '{text}'")
    return int(text)


def parse_options(pairs: list[str]) -> dict:
    """``key=value`` texts to a nested value each, as MMEngine reads them.

    Raises:
        UserError: A text without ``=`` or key, or with brackets that do not close.
    """
    from rotated_atss.errors import UserError

    for pair in pairs:
        if not pair.partition("=")[0].strip() or "=" not in pair:
            raise UserError(f"--cfg-options takes KEY=VALUE, not '{pair}'")
    from mmengine.config import DictAction

    reader = argparse.ArgumentParser()
    reader.add_argument("--options", nargs="+", action=DictAction, default={})
    try:
        return reader.parse_args(["--options", *pairs]).options if pairs else {}
    except AssertionError as error:
        raise UserError(f"--cfg-options: {error}") from error


def run(args: argparse.Namespace) -> int:
    check_given(args.config, args.resume if isinstance(args.resume, str) else None)
    from rotated_atss.detection.engine.options import TrainOptions
    from rotated_atss.detection.engine.runner import train

    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    options = TrainOptions(
        work_dir=args.work_dir, resume=args.resume, amp=args.amp, compile=args.compile, seed=args.seed,
        deterministic=args.deterministic, from_scratch=args.from_scratch, iterations=args.iterations,
        launcher=args.launcher, workers=args.workers,
        cfg_options=parse_options(args.cfg_options),
    )  # fmt: skip
    folder = train(args.config, options)
    print(f"checkpoints and logs: {folder}")
    return 0
