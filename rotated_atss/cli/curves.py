"""``rotated-atss curves``: plot the learning curves of training runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rotated_atss.errors import UserError

HELP = "Plot losses, learning rate and validation results of one training run, or of several side by side."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("work_dirs", nargs="+", metavar="WORK_DIR", help="work folder of a training run")
    parser.add_argument(
        "--out", metavar="PNG",
        help="picture to write (default: learning_curves.png in WORK_DIR; for several training runs, in the current "
        "folder)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from rotated_atss.analysis.curve_plots import PICTURE, plot_learning_curves
    from rotated_atss.analysis.learning_curves import read_learning_curves
    from rotated_atss.io.files import atomic_write

    if args.out and Path(args.out).suffix.lower() != ".png":
        raise UserError(f"the picture must be a .png file, got '{args.out}'", where="--out")
    folders = [Path(folder) for folder in dict.fromkeys(args.work_dirs)]
    runs = {name: read_learning_curves(folder) for name, folder in zip(_name_runs(folders), folders)}
    default_folder = folders[0] if len(folders) == 1 else Path()
    out = Path(args.out) if args.out else default_folder / PICTURE
    atomic_write(out, plot_learning_curves(runs))
    print(f"wrote {out}")
    return 0


def _name_runs(folders: list[Path]) -> list[str]:
    """Return the names of the folders, or the paths of all folders if two names are equal."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
