"""Splitting DOTA images at 1024/200: rotated-atss beside mmrotate's img_split.py and dotadevkit, two processes each.

    python benchmarks/bench_split.py [--data FOLDER] [--images 100] [--repeats 3] [--processes 2]

Every run is a fresh interpreter, as a user starts it, into an empty folder, files included. FOLDER holds images/ and
labelTxt/; by default it is dota_sample in $ROTATED_ATSS_DATA or in ../shared/data, and where that is absent, generated
images of the same sizes. It is repeated to --images images. Beside it: one large image in one and in two workers, and
what ways to write a tile cost (codecs.py), the measurement behind the choice of one.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import codecs
from benchmarks.harness import ROOT, bar, environment, save, show_bars, table, time_one, time_pair
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.labels import read_labels
from rotated_atss.io.images import read_image
from rotated_atss.tiling.split_image import crop_window
from rotated_atss.tiling.split_settings import PADDING_BGR
from rotated_atss.tiling.windows import sliding_windows

SIZE, GAP = 1024, 200
LARGE_PX = 8000
# (width, height) and number of objects of the eight sample images
SHAPES = [(824, 1464, 107), (884, 977, 130), (1367, 1526, 100), (2304, 1792, 36), (1111, 1182, 536), (1610, 1358, 20)]
SHAPES += [(1599, 1903, 20), (712, 557, 64)]

OURS = "import sys; from rotated_atss.cli import main; sys.exit(main(sys.argv[1:]))"
OURS_WITHOUT_ISAL = f"import sys; sys.modules['isal'] = None\n{OURS}"
DOTADEVKIT = (
    "import sys; from dotadevkit.ops.ImgSplit import DataSplitter\n"
    f"DataSplitter(sys.argv[1], sys.argv[2], gap={GAP}, subsize={SIZE}, num_process=int(sys.argv[3])).splitdata(1)"
)


def ours(data: Path, out: Path, processes: int, code: str = OURS, style: Sequence[object] = ()) -> None:
    options = ["--size", SIZE, "--gap", GAP, "--workers", processes, "--overwrite", "--quiet"]
    folders = ["--images", data / "images", "--labels", data / "labelTxt", "--out", out]
    _python("-c", code, "split", *folders, *options, *style)


def ours_as_devkit(data: Path, out: Path, processes: int) -> None:
    """Under its names, and past the image's border its black."""
    ours(data, out, processes, style=["--name-style", "devkit", "--padding", 0, 0, 0])


def mmrotate(data: Path, out: Path, processes: int) -> None:
    shutil.rmtree(out, ignore_errors=True)
    folders = ["--img-dirs", data / "images", "--ann-dirs", data / "labelTxt", "--save-dir", out]
    windows = f"--sizes {SIZE} --gaps {GAP} --iof-thr 0.7 --img-rate-thr 0.6 --padding-value 104 116 124".split()
    _python(_img_split(), *folders, *windows, "--nproc", processes)


def dotadevkit(data: Path, out: Path, processes: int) -> None:
    _python("-c", DOTADEVKIT, data, out, processes)


def measure(data: Path, folder: Path, repeats: int, processes: int) -> list[dict[str, Any]]:
    """One row a peer, and one for ours where isal is not installed."""
    isal = importlib.util.find_spec("isal") is not None
    rows = [("mmrotate", ours, mmrotate, isal), ("dotadevkit", ours_as_devkit, dotadevkit, isal)]
    if isal:
        rows.append(("mmrotate", _without_isal, mmrotate, False))
    return [_row(*row, data, folder, repeats, processes) for row in rows]


def repeated(data: Path, images: int, folder: Path) -> Path:
    """A folder of links to the images and labels of ``data``, over and over."""
    sources = sorted((data / "images").iterdir())
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    for number, image in zip(range(images), itertools.cycle(sources)):
        stem = f"{image.stem}_{number:03d}"
        (folder / "images" / f"{stem}{image.suffix}").symlink_to(image.resolve())
        (folder / "labelTxt" / f"{stem}.txt").symlink_to((data / "labelTxt" / f"{image.stem}.txt").resolve())
    return folder


def measure_large(data: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """One image of 8,000 x 8,000 px, made of one of ``data``, with one and with two workers; and its decoding alone,
    which is one thread's work whatever the workers.
    """
    (folder / "large/images").mkdir(parents=True)
    first = max((cv2.imread(str(path)) for path in list_images(data / "images")), key=np.size)
    down, across = (-(-LARGE_PX // side) for side in first.shape[:2])
    cv2.imwrite(str(folder / "large/images/P1.png"), np.tile(first, (down, across, 1))[:LARGE_PX, :LARGE_PX])
    out = folder / "large/out"

    def run(workers: int) -> None:
        options = ["--workers", workers, "--overwrite", "--quiet"]
        _python("-c", OURS, "split", "--images", folder / "large/images", "--out", out, *options)

    pair = time_pair(lambda: run(2), lambda: run(1), repeats)
    decoding = time_one(lambda: read_image(folder / "large/images/P1.png"), repeats)
    told = {"two_workers": pair["ours"], "one_worker": pair["peer"], "ratio": pair["ratio"]}
    return {"px": LARGE_PX, **told, "decoding": decoding}


def sample_tiles(data: Path) -> list[np.ndarray]:
    """The tiles of the images of ``data``."""
    tiles = []
    for image in map(read_image, list_images(data / "images")):
        windows = sliding_windows(image.shape[1], image.shape[0], [(SIZE, GAP)], 0.6).tolist()
        tiles += [np.ascontiguousarray(crop_window(image, window, PADDING_BGR)) for window in windows]
    return tiles


def bars(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With isal where it is installed, as whoever wants speed has it; the row without it stands in the table."""
    best = {row["against"]: row for row in reversed(rows)}
    unlike = sum(best[peer]["tiles"] - best[peer]["same_pixels"] for peer in ("mmrotate", "dotadevkit"))
    return [
        bar("splitting: times faster than mmrotate's tool", best["mmrotate"]["ratio"], at_least=1.5),
        bar("splitting: times faster than dotadevkit", best["dotadevkit"]["ratio"], at_least=3),
        bar("splitting: tiles with other pixels than mmrotate's or dotadevkit's", unlike, at_most=0),
    ]


def _row(
    peer: str, run: Callable, run_peer: Callable, isal: bool, data: Path, folder: Path, repeats: int, processes: int
) -> dict[str, Any]:
    mine, theirs = folder / "ours", folder / peer
    warm = 0 if theirs.exists() else 1  # an earlier row has run it
    pair = time_pair(
        lambda: run(data, mine, processes), lambda: run_peer(data, theirs, processes), repeats, peer_warmup=warm,
        before=lambda: _clear(mine, theirs),
    )  # fmt: skip
    work = {"ours_cpu_s": _processor_seconds(lambda: run(data, mine, processes))}
    work["peer_cpu_s"] = _processor_seconds(lambda: run_peer(data, theirs, processes))
    sizes = {"ours_mb": _megabytes(mine / "images"), "peer_mb": _megabytes(theirs / "images")}
    return {"against": peer, "isal": isal, "processes": processes, **pair, **work, **sizes, **compare(mine, theirs)}


def _clear(*folders: Path) -> None:
    """Remove them and let the disk finish: neither run waits for what another one wrote."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    os.sync()


def _processor_seconds(run: Callable[[], object]) -> float:
    """What all processes of a run worked, which says more than a clock where others share the machine."""
    before = os.times()
    run()
    after = os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    return round(worked, 2)


def compare(mine: Path, theirs: Path) -> dict[str, int]:
    """Of our tiles, how many have the peer's name and pixels, and how many mmrotate's objects (dotadevkit cuts its)."""
    tiles = list_images(mine / "images")
    same = [tile for tile in tiles if _same_pixels(tile, theirs / "images" / tile.name)]
    labels = [tile.stem for tile in same if (theirs / "annfiles").is_dir()]
    objects = sum(_same_objects(mine / "labelTxt" / f"{it}.txt", theirs / "annfiles" / f"{it}.txt") for it in labels)
    return {"tiles": len(tiles), "same_pixels": len(same), **({"same_objects": objects} if labels else {})}


def _same_pixels(tile: Path, other: Path) -> bool:
    return other.exists() and np.array_equal(cv2.imread(str(tile)), cv2.imread(str(other)))


def _same_objects(mine: Path, theirs: Path) -> bool:
    a, b = read_labels(mine), read_labels(theirs)
    same_flags = np.array_equal(a.difficult, b.difficult)
    return a.names == b.names and same_flags and np.allclose(a.polygons, b.polygons, rtol=0, atol=1e-3)


def _without_isal(data: Path, out: Path, processes: int) -> None:
    ours(data, out, processes, OURS_WITHOUT_ISAL)


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6, 1)


def _python(*words: object) -> None:
    # compiled modules are kept, as they are where a package is installed: a checkout must not compile itself each time
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True, capture_output=True, env=kept)


def _img_split() -> Path:
    found = importlib.util.find_spec("mmrotate")
    if found is None or found.origin is None:
        raise SystemExit("mmrotate is not installed")
    return Path(found.origin).parent / ".mim/tools/data/dota/split/img_split.py"


def generate(folder: Path, seed: int = 0) -> Path:
    """Images that compress about as aerial ones do, with objects."""
    rng = np.random.default_rng(seed)
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    for number, (width, height, count) in enumerate(SHAPES):
        coarse = rng.uniform(40, 200, (height // 24, width // 24, 3)).astype(np.float32)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + rng.normal(
            0, 4, (height, width, 3)
        )
        cv2.imwrite(str(folder / "images" / f"P{number:04d}.png"), image.clip(0, 255).astype(np.uint8))
        corners = rng.uniform(0, (width, height), (count, 1, 2)) + np.array([[-20, -8], [20, -8], [20, 8], [-20, 8]])
        lines = [f"{' '.join(map(str, polygon))} ship 0\n" for polygon in np.round(corners).reshape(-1, 8).tolist()]
        (folder / "labelTxt" / f"P{number:04d}.txt").write_text("".join(lines))
    return folder


def find_data(given: Path | None, folder: Path) -> tuple[Path, str]:
    """The input and what to call it."""
    sample = Path(os.environ.get("ROTATED_ATSS_DATA") or ROOT.parent / "shared" / "data") / "dota_sample"
    if given is not None:
        return given, given.name
    return (sample, "dota_sample") if sample.is_dir() else (generate(folder / "generated"), "generated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=100, help="the sample is repeated to so many (default: 100)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench_split_"))
    try:
        data, name = find_data(args.data, folder)
        many = repeated(data.resolve(), args.images, folder / "many")
        rows = measure(many, folder, args.repeats, args.processes)
        large = measure_large(data, folder, args.repeats)
        tiles = codecs.measure(sample_tiles(data)[::2], 2)
    finally:
        shutil.rmtree(folder)
    shown = ["against", "isal", "processes", "ratio", "tiles", "same_pixels", "same_objects", "ours_mb", "peer_mb"]
    print(table([{**row, "ours_s": row["ours"]["median"], "peer_s": row["peer"]["median"]} for row in rows],
                [*shown[:3], "ours_s", "peer_s", "ours_cpu_s", "peer_cpu_s", *shown[3:]]))  # fmt: skip
    print(f"one image of {LARGE_PX} px: {large}", table(tiles), sep="\n")
    promises = bars(rows)
    print(show_bars(promises))
    told = {"data": name, "images": args.images, "environment": environment(), "results": rows}
    print(save("split", {**told, "large": large, "codecs": tiles, "bars": promises}))


if __name__ == "__main__":
    main()
