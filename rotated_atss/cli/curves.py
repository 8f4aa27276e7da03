"""``rotated-atss curves``: plot the learning curves of trainings."""

from __future__ import annotations

import argparse
from pathlib import Path

from rotated_atss.errors import UserError

HELP = "Plot losses, learning rate and validation results of trainings, side by side if there are several."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("work_dirs", nargs="+", metavar="WORK_DIR", help="work folder of a training")
    parser.add_argument(
        "--out", metavar="PNG",
        help="file of the picture (default: learning_curves.png, in WORK_DIR if there is only one, otherwise in the "
        "current folder)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from rotated_atss.analysis.curve_plots import PICTURE, plot_learning_curves
    from rotated_atss.analysis.learning_curves import read_learning_curves
    from rotated_atss.io.files import atomic_write

    if args.out and Path(args.out).suffix.lower() != ".png":
        raise UserError(f"the picture must be a .png file, got '{args.out}'", where="--out")
    folders = [Path(folder) for folder in dict.fromkeys(args.work_dirs)]
    runs = {name: read_learning_curves(folder) for name, folder in zip(_names(folders), folders)}
    out = Path(args.out) if args.out else (folders[0] if len(folders) == 1 else Path()) / PICTURE
    atomic_write(out, plot_learning_curves(runs))
    print(f"wrote {out}")
    return 0


def _names(folders: list[Path]) -> list[str]:
    """Return the names of folders, or their paths where two names are equal."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
