"""Feed damaged files to the readers: only UserError may leave them.

    python benchmarks/reliability/fuzz_readers.py [--seconds 60] [--seed 0] [--reader labels]

Valid files are changed at random (bytes flipped, cut, repeated, replaced by tokens that parsers trip over), and each
reader gets the result. Prints the number of runs per reader, and the input of the first unexpected error.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.reliability.fuzz_targets import TOKENS, make_targets
from rotated_atss.errors import UserError


def damage(data: bytes, draw: random.Random) -> bytes:
    """Change a file at one to four places."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(changed) + 1)
        kind = draw.randrange(5)
        if kind == 0 and changed:
            changed[at - 1] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[at : at + draw.randint(1, 8)] = draw.choice(TOKENS)
        elif kind == 2:
            changed[at:at] = draw.choice(TOKENS)
        elif kind == 3:
            del changed[at : at + draw.randint(1, 30)]
        else:
            start = draw.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + draw.randint(1, 60)]
    return bytes(changed)


def fuzz(name: str, inputs: list[bytes], read: Callable[[bytes], object], seconds: float, seed: int) -> tuple[int, str]:
    """Run one reader; return the number of runs and the report of the first unexpected error, if any."""
    draw, runs, end = random.Random(f"{seed} {name}"), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = damage(draw.choice(inputs), draw)
        runs += 1
        try:
            read(data)
        except UserError as error:
            if not str(error).isprintable() or len(str(error)) > 4000:
                return runs, f"a message that is not one printable line, for {data[:300]!r}"
        except Exception:
            return runs, f"{traceback.format_exc()}\nfor {data[:300]!r}"
    return runs, ""


def main(argv: list[str] | None = None) -> int:
    """Fuzz the readers and return 1 if one of them let another error through."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="time per reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", help="only this reader")
    args = parser.parse_args(argv)
    failed = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        for name, target in make_targets(Path(folder)).items():
            if args.reader in (None, name):
                runs, report = fuzz(name, target.seeds, target.run, args.seconds, args.seed)
                failed += bool(report)
                print(f"{name}: {runs:,} runs, {report or 'only UserError'}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
