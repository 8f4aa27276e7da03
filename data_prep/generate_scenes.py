"""Generate synthetic aerial scenes in the DOTA layout: OUT/{train,val}/{images,labelTxt}."""

import argparse
import sys

from rotated_atss.errors import UserError
from rotated_atss.synthetic import DIFFICULTIES, generate_splits


def main() -> int:
    """Generate the scenes and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="new folder, or the folder of an earlier run")
    parser.add_argument("--train", type=int, default=60, metavar="N", help="number of training scenes (default: 60)")
    parser.add_argument("--val", type=int, default=12, metavar="N", help="number of validation scenes (default: 12)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(880, 720),
        metavar=("W", "H"),
        help="width and height in pixels; sizes of scenes vary by up to 10 %% (default: 880 720)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the scenes (default: 0)")
    parser.add_argument("--difficulty", choices=DIFFICULTIES, default="normal", help="default: normal")
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: one per core)")
    args = parser.parse_args()
    num_scenes = {split: count for split, count in (("train", args.train), ("val", args.val)) if count}
    try:
        generate_splits(
            args.out,
            num_scenes,
            size_wh=(args.size[0], args.size[1]),
            seed=args.seed,
            difficulty=args.difficulty,
            workers=args.workers,
        )
    except UserError as error:
        print(f"generate_scenes: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
