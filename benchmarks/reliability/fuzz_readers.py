"""Feed damaged files to the readers: only UserError may leave them.

    python benchmarks/reliability/fuzz_readers.py [--seconds 60] [--seed 0] [--reader labels]

Valid files are changed at random (bytes flipped, cut, repeated, replaced by tokens that parsers trip over), and each
reader gets the result. Prints the number of runs per reader, and the input of the first unexpected error.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rotated_atss.coco.instances import read_instances
from rotated_atss.coco.results_file import read_results
from rotated_atss.dota.detections import read_detections
from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.submission_check import check_submission
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.tiling.manifest import read_manifest
from rotated_atss.tiling.merge_text import merge_folder

LABEL = b"imagesource:GoogleEarth\ngsd:0.5\n20 20 80 20.5 80 60 20 60 ship 0\n1 2 11 2 11 8 1 8 large-vehicle 1\n"
TASK1 = b"P1__1024__0___0 0.91 20 20 80 20 80 60 20 60\nP1__1024__824___0 0.5 1.5 2 11 2 11 8 1 8\n"
INSTANCES = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "ship"}],
}
RESULTS = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]
MANIFEST = {
    "written_by": "rotated-atss split",
    "settings": {"sizes": [1024], "keep_empty": True},
    "folders": [{"images": "../raw", "labels": "../labelTxt"}, {"images": "x", "labels": "y", "label_format": "voc"}],
    "tiles": [{"image": "P1.png", "name": "P1__1024__0___0", "objects": 2, "truncated": 0}],
}
TOKENS = (
    *(b"nan", b"inf", b"-1", b"1e400", b"9" * 400, b"\x00", b"\x1b[2J", b"\xff\xfe", b"\xc3\xa9", b"\r", b"\n", b"\t"),
    *(b"null", b"true", b"[]", b"{}", b'""', b"[" * 2000, b"{" * 50, b"1_0", b"../", b"/dev/zero", b"\xe2\x80\xa8"),
    *(b"a" * 5000, b"-", b".", b",", b":", b'"', b"\\", b"__", b"___", b"1e-400", b"0x10", b"\xef\xbb\xbf", b" "),
)


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


def zipped() -> bytes:
    """Return a small submission."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Task1_ship.txt", b"P1 0.91 20 20 80 20 80 60 20 60\n")
        archive.writestr("Task1_plane.txt", b"")
    return buffer.getvalue()


def readers(folder: Path) -> dict[str, tuple[list[bytes], Callable[[bytes], object]]]:
    """Return valid inputs and a function that reads a damaged one, by name of the reader."""

    def in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def run(data: bytes) -> object:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            return read(path)

        return run

    instances = folder / "instances.json"
    instances.write_text(json.dumps(INSTANCES))
    valid = read_instances(instances)
    return {
        "labels": ([LABEL], in_file("P1.txt", read_labels)),
        "labels with classes": ([LABEL], in_file("P1.txt", lambda path: read_labels(path, ["ship", "large-vehicle"]))),
        "task1": ([TASK1], in_file("Task1_ship.txt", read_detections)),
        "merge": (
            [TASK1],
            in_file(
                "tiles/Task1_ship.txt",
                lambda path: merge_folder(path.parent, folder / "merged", workers=1, progress=False),
            ),
        ),
        "tile names": (
            [b"P1__1024__0___824", b"P1__0.5__-3___7"],
            lambda data: parse_tile_name(data.decode("latin-1")),
        ),
        "submission": ([zipped()], in_file("s.zip", lambda path: check_submission(path, ("ship", "plane")))),
        "instances": ([json.dumps(INSTANCES).encode()], in_file("i.json", read_instances)),
        "results": ([json.dumps(RESULTS).encode()], in_file("r.json", lambda path: read_results(path, valid))),
        "manifest": ([json.dumps(MANIFEST).encode()], in_file("manifest.json", read_manifest)),
    }


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
    with tempfile.TemporaryDirectory() as folder:
        for name, (inputs, read) in readers(Path(folder)).items():
            if args.reader in (None, name):
                runs, report = fuzz(name, inputs, read, args.seconds, args.seed)
                failed += bool(report)
                print(f"{name}: {runs:,} runs, {report or 'only UserError'}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
