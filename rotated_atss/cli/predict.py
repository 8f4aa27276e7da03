"""``rotated-atss predict``: detections on images of any size, as text and as pictures."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.cli._early import check_given
from rotated_atss.cli._images import (
    Layer,
    add_picture_arguments,
    check_file,
    check_picture_arguments,
    check_targets,
    class_filter,
    each_image,
    find_images,
    one_word,
    write_picture,
)
from rotated_atss.cli.train import parse_options
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.detection.engine.inference import LoadedDetector
    from rotated_atss.tiling.merge_boxes import BoxDetections
    from rotated_atss.tiling.predict import Tiling

HELP = (
    "Detect on an image or a folder of images of any size: windows with overlap, merged a class at a time. Writes "
    "OUT/detections/Task1_<class>.txt (DOTA's detection files: image, score, four corners; evaluate, check-submission "
    "and draw take that folder) with all detections, whatever --score, and OUT/pictures/<image>.png. Grey, 16-bit and "
    "transparent images are converted to 8-bit colour. An image that cannot be read is told, the others are done; exit "
    "code 2."
)

DETECTIONS, PICTURES = "detections", "pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="path or bare name of a config")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="weights of that model, .pth or .safetensors")
    parser.add_argument("images", metavar="IMAGE|FOLDER", help="an image, or a folder of images")
    parser.add_argument("--out", default="predictions", metavar="DIR", help="output folder (default: predictions)")
    parser.add_argument(
        "--classes", metavar="NAMES", help="these of the model's classes alone: names with commas, or v1.0, v1.5, v2.0"
    )
    parser.add_argument("--no-pictures", action="store_true", help="write no pictures")
    parser.add_argument(
        "--json", metavar="FILE",
        help="also write COCO's results format: horizontal boxes; an image's id is its name, a number where it is one; "
        "category ids are COCO's for its 80 classes, else 1, 2, ...",
    )  # fmt: skip
    _add_windows(parser)
    _add_machine(parser)
    add_picture_arguments(parser)


def _add_windows(parser: argparse.ArgumentParser) -> None:
    windows = parser.add_argument_group("windows")
    windows.add_argument(
        "--size", type=int, metavar="PX",
        help="side of the windows; 0: the whole image in one piece (default: 1024 for models of DOTA's tiles, else 0)",
    )  # fmt: skip
    windows.add_argument("--gap", type=int, default=200, metavar="PX", help="overlap of neighbours (default: 200)")
    windows.add_argument(
        "--iou", type=float, metavar="IOU",
        help="of two boxes of a class that overlap by more only the better one stays (default: the config's)",
    )  # fmt: skip


def _add_machine(parser: argparse.ArgumentParser) -> None:
    machine = parser.add_argument_group("machine")
    machine.add_argument("--batch", type=int, default=4, metavar="N", help="windows at a time (default: 4)")
    machine.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    machine.add_argument("--amp", action="store_true", help="the network in bfloat16")
    machine.add_argument("--channels-last", action="store_true", help="another memory layout, faster on many machines")
    machine.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the config")


def run(args: argparse.Namespace) -> int:
    check_given(args.config, args.checkpoint)
    find_images(args.images)
    from rotated_atss.detection.engine.inference import load_detector
    from rotated_atss.tiling.predict import resolve_tiling

    started = time.perf_counter()
    paths, options = _check(args), parse_options(args.cfg_options)
    detector = load_detector(
        args.config, args.checkpoint, device=args.device, amp=args.amp, channels_last=args.channels_last or None,
        cfg_options=options,
    )  # fmt: skip
    tiling = resolve_tiling(detector, args.size, args.gap, args.batch, args.iou)
    chosen = class_filter(args.classes, detector.classes)
    _check_leftovers(Path(args.out) / DETECTIONS, [one_word(name) for name in chosen])
    found: list[BoxDetections] = []
    failures = each_image(paths, lambda path: _one_image(detector, tiling, chosen, path, found, args), "predict")
    if found:
        _write(found, detector.classes, chosen, args)
        print(f"{_summary(found, args.score)}; {time.perf_counter() - started:.1f} s; written to {args.out}")
    if failures:
        print(f"{len(failures)} of {len(paths)} images failed")
    return 2 if failures else 0


def _summary(found: Sequence[BoxDetections], score: float) -> str:
    count = sum(len(image.scores) for image in found)
    shown = sum(int((image.scores >= score).sum()) for image in found)
    return f"{len(found)} images, {count} detections, {shown} of them with a score of {score:g} or more"


def _check(args: argparse.Namespace) -> list[Path]:
    """The images; whatever can be told before the model is loaded is told here."""
    from rotated_atss.tiling.predict import Tiling
    from rotated_atss.visualization.png_output import check_overwritable

    check_picture_arguments(args)
    size = Tiling.size if args.size is None else args.size
    Tiling(size, args.gap, args.batch, Tiling.iou_threshold if args.iou is None else args.iou)
    paths = find_images(args.images)
    check_targets([args.out, *(Path(args.out) / name for name in (DETECTIONS, PICTURES))], args.images)
    if args.json:
        check_file(args.json, args.images)
    if not args.no_pictures:
        for path in paths:
            check_overwritable(_picture_path(args, path))
    return paths


def _picture_path(args: argparse.Namespace, image: Path) -> Path:
    return Path(args.out) / PICTURES / f"{image.stem}.png"


def _check_leftovers(folder: Path, names: Sequence[str]) -> None:
    """Text of other classes would pass for part of this result."""
    for path in sorted(folder.glob("Task1_*.txt")):
        if path.stem.removeprefix("Task1_") not in names:
            hint = "remove it, or choose another --out"
            raise UserError("a file of other detections that this run would not replace", where=path, hint=hint)


def _one_image(
    detector: LoadedDetector,
    tiling: Tiling,
    chosen: Sequence[str],
    path: Path,
    found: list[BoxDetections],
    args: argparse.Namespace,
) -> None:
    """Read, detect, draw; what was detected is kept also where the picture cannot be written."""
    from rotated_atss.io.images import read_image
    from rotated_atss.ops.boxes import obb_to_poly
    from rotated_atss.tiling.predict import predict_image

    if len(path.stem.split()) != 1:
        raise UserError("the name holds a space, which DOTA's text files cannot", where=path, hint="rename the image")
    image = read_image(path)
    detections = predict_image(detector, image, name=path.stem, progress=None, **vars(tiling))
    detections = _of_classes(detections, [detector.classes.index(name) for name in chosen])
    found.append(detections)
    if not args.no_pictures:
        names = [detector.classes[label] for label in detections.labels.tolist()]
        layer = Layer(obb_to_poly(detections.boxes).numpy(), names, detections.scores.tolist())
        write_picture(_picture_path(args, path), image, [layer], args)


def _of_classes(found: BoxDetections, wanted: Sequence[int]) -> BoxDetections:
    import torch

    from rotated_atss.tiling.merge_boxes import BoxDetections

    keep = torch.isin(found.labels, torch.tensor(wanted))
    return BoxDetections(found.name, found.boxes[keep], found.scores[keep], found.labels[keep])


def _write(
    found: Sequence[BoxDetections], classes: Sequence[str], chosen: Sequence[str], args: argparse.Namespace
) -> None:
    import json

    from rotated_atss.dota.detections import task1_path, write_detections
    from rotated_atss.io.files import atomic_write
    from rotated_atss.tiling.merge_boxes import to_task1
    from rotated_atss.tiling.predict import to_coco_results

    for name, detections in to_task1(found, classes).items():
        if name in chosen:
            write_detections(task1_path(Path(args.out) / DETECTIONS, one_word(name)), detections)
    if args.json:
        atomic_write(args.json, (json.dumps(to_coco_results(found, classes)) + "\n").encode())
