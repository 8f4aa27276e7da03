"""``rotated-atss predict``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._classes_option import add_classes_argument, select_classes
from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._detectors import load_any_detector
from rotated_atss.cli._device_option import add_device_argument
from rotated_atss.cli._feature_files import add_format_argument, find_feature_files
from rotated_atss.cli._images import (
    add_bits_argument,
    check_output_folders,
    find_images,
    print_failures,
    print_skipped_images,
    process_images,
    resolve_bits,
)
from rotated_atss.cli._pictures import (
    Layer,
    add_picture_arguments,
    check_picture_arguments,
    picture_path,
    write_picture,
)
from rotated_atss.cli._prediction_files import DETECTIONS, PICTURES, PredictionFiles
from rotated_atss.cli._preflight import add_model_arguments, split_model_arguments
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError, count_of

if TYPE_CHECKING:
    from rotated_atss.detection.engine.inference import LoadedDetector
    from rotated_atss.io.image_reader import ImageReader
    from rotated_atss.runtime import GraphDetector
    from rotated_atss.tiling.merge_boxes import BoxDetections
    from rotated_atss.tiling.predict import Tiling

HELP = (
    "Detect objects on images of any size: run the model on overlapping windows and merge the detections with "
    "class-wise NMS. Writes all detections, independent of --score, to OUT/detections/Task1_<class>.txt (image, score, "
    "four corners; an input of evaluate, check-submission and draw) or in other formats (--format), and pictures to "
    "OUT/pictures/<image>.png. Gray, 16-bit and transparent images are converted to 8-bit color; all 16-bit images are "
    "scaled by the same factor. An unreadable image is reported and skipped; the exit code is then 2. All files are "
    "moved into OUT at the end; pictures and other formats of an earlier run in OUT are removed."
)
MODEL_FORMS = ("MODEL IMAGE|DIR", "CONFIG CHECKPOINT IMAGE|DIR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser, MODEL_FORMS, "; IMAGE|DIR: an image, or a folder of images")
    parser.add_argument("--out", default="predictions", metavar="DIR", help="output folder (default: predictions)")
    add_classes_argument(parser, "classes to keep", "all classes of the model")
    add_format_argument(parser)
    parser.add_argument("--no-pictures", action="store_true", help="write text files only")
    parser.add_argument(
        "--json", metavar="FILE",
        help="also write COCO results (horizontal boxes) to this file. Image and category ids are those of "
        "--coco-annotations. Without it, they are listed in a file next to it with the suffix .ids.json; image ids are "
        "then the file names if all are different numbers, otherwise 1, 2, ...",
    )  # fmt: skip
    parser.add_argument(
        "--coco-annotations", metavar="JSON", help="instances JSON with the image and category ids for --json"
    )
    _add_windows(parser)
    _add_inference(parser)
    add_picture_arguments(parser)


def _add_windows(parser: argparse.ArgumentParser) -> None:
    windows = parser.add_argument_group("windows")
    windows.add_argument(
        "--size", type=int, metavar="PX",
        help="window size; 0: the whole image (default: that of the training tiles, which the model file records; "
        "without a record as the config's test pipeline: 1024 on DOTA, 0 on COCO)",
    )  # fmt: skip
    windows.add_argument(
        "--gap",
        type=int,
        metavar="PX",
        help="overlap of windows (default: that of the model file, at most half the "
        "size; without a record 200/1024 of the size)",
    )
    windows.add_argument(
        "--iou", type=float, metavar="IOU",
        help="IoU threshold of the class-wise NMS that merges the detections of all windows (default: the config's)",
    )  # fmt: skip


def _add_inference(parser: argparse.ArgumentParser) -> None:
    inference = parser.add_argument_group("inference")
    inference.add_argument("--batch", type=int, default=4, metavar="N", help="windows per batch (default: 4)")
    add_device_argument(inference)
    add_bits_argument(inference)
    inference.add_argument(
        "--fast", action="store_true",
        help="for many images: the fastest way to run the model here. For an ONNX file ONNX Runtime or OpenVINO, which "
        "are timed first; otherwise bfloat16 where the processor has it, and channels last. Prints which",
    )  # fmt: skip
    inference.add_argument("--amp", action="store_true", help="run the network in bfloat16")
    inference.add_argument(
        "--channels-last", action="store_true", help="use the channels-last memory layout, often faster"
    )
    add_cfg_options(inference)


def run(args: argparse.Namespace) -> int:
    config, checkpoint, (args.images,) = split_model_arguments(args.inputs, more=1)
    find_images(args.images)  # before torch is imported
    from rotated_atss.io.image_reader import PixelOptions, open_image
    from rotated_atss.tiling.predict import resolve_tiling

    started = time.perf_counter()
    paths, options = _check_arguments(args), parse_cfg_options(args.cfg_options)
    features = find_feature_files(args.formats, paths)
    with PredictionFiles(args.out, args.json, features) as files:
        detector = load_any_detector(config, checkpoint, args, options)
        tiling = resolve_tiling(detector, args.size, args.gap, args.batch, args.iou)
        _print_record(detector, checkpoint, tiling)
        classes = select_classes(args.classes, detector.classes)
        names = [hyphenate(name) for name in classes]
        _check_leftovers(Path(args.out) / DETECTIONS, names)
        ids = _coco_ids(paths, detector.classes, args) if args.json else None
        print_skipped_images(args.images)
        args.bits = resolve_bits(paths, detector.bits if args.bits is None else args.bits)
        for note in features.notes():
            print(note)
        print(_plan(paths, tiling), flush=True)
        counts: list[tuple[int, int]] = []

        def predict_one(path: Path) -> None:
            with open_image(path, PixelOptions(args.bits)) as image:
                detections = _detect(detector, tiling, classes, image)
                files.add(detections, list(map(hyphenate, detector.classes)), _coco_results(detections, ids))
                counts.append((len(detections.scores), int((detections.scores >= args.score).sum())))
                if not args.no_pictures:
                    _draw(detections, detector.classes, image, files.picture_path(path), args)

        failures = process_images(paths, predict_one, "predict")
        if counts:
            if ids is not None:
                _write_coco_ids(ids, paths, detector.classes, args)
            _print_removed(files.commit(names), Path(args.out))
            print(f"{_summary(counts, args.score)}; {time.perf_counter() - started:.1f} s; written to {args.out}")
    return print_failures(failures, paths)


def _print_removed(paths: Sequence[Path], out: Path) -> None:
    """Print which files of an earlier run were removed."""
    pictures = [path for path in paths if path.parent.name == PICTURES]
    if pictures:
        print(f"{count_of(len(pictures), 'picture')} of an earlier run removed from {out / PICTURES}")
    if len(paths) > len(pictures):
        names = ", ".join(path.name for path in paths if path not in pictures)
        print(f"{names} of an earlier run removed from {out}")


def _print_record(detector: LoadedDetector | GraphDetector, checkpoint: str, tiling: Tiling) -> None:
    """Print what the model file records, and which options replace it."""
    if detector.info is None:
        return
    print(f"{checkpoint}: {detector.info.describe()}")
    recorded = detector.info.window
    if tiling.size != recorded.size:
        print(f"--size {tiling.size} instead of the recorded {recorded.size}")
    if tiling.size and tiling.split_settings().gaps[0] != recorded.gap:
        print(f"overlap of {tiling.split_settings().gaps[0]} px instead of the recorded {recorded.gap} px")


def _plan(paths: Sequence[Path], tiling: Tiling) -> str:
    """Format the amount of work, which is known before the first image."""
    from rotated_atss.tiling.predict import WHOLE_IMAGE
    from rotated_atss.tiling.split_plan import count_windows

    images = count_of(len(paths), "image")
    if tiling.size == WHOLE_IMAGE:
        return f"{images}, each as a whole"
    windows = sum(count_windows(path, tiling.split_settings()) for path in paths)
    return f"{images}, {count_of(windows, 'window')} of {tiling.size} px"


def _summary(counts: Sequence[tuple[int, int]], score: float) -> str:
    """Format the number of detections on all images, and how many of them have a score of at least ``score``."""
    total, shown = (sum(column) for column in zip(*counts))
    images, detections = count_of(len(counts), "image"), count_of(total, "detection")
    return f"{images}, {detections}, {shown} of them with a score of at least {score:g}"


def _check_arguments(args: argparse.Namespace) -> list[Path]:
    """Check all arguments that can be checked without the model, and list the images."""
    from rotated_atss.io.bit_depth import check_bits
    from rotated_atss.io.files import check_output_apart
    from rotated_atss.tiling.predict import Tiling
    from rotated_atss.visualization.png_output import check_overwritable

    check_picture_arguments(args)
    check_bits(args.bits)
    size = Tiling.size if args.size is None else args.size
    Tiling(size, args.gap, args.batch, Tiling.iou_threshold if args.iou is None else args.iou)
    paths = find_images(args.images)
    check_output_folders([args.out, *(Path(args.out) / name for name in (DETECTIONS, PICTURES))], args.images)
    if args.coco_annotations and not args.json:
        raise UserError("--coco-annotations is used only with --json, which is missing", hint="add --json FILE")
    if args.json:
        check_output_apart(args.json, [args.images], may_contain_inputs=True)
    if not args.no_pictures:
        for path in paths:
            check_overwritable(picture_path(Path(args.out) / PICTURES, path))
    return paths


def _check_leftovers(folder: Path, names: Sequence[str]) -> None:
    """Refuse detection files of other classes in the output folder, which would mix with this result."""
    for path in sorted(folder.glob("Task1_*.txt")):
        if path.stem.removeprefix("Task1_") not in names:
            hint = "remove it, or choose another --out"
            raise UserError("detections of an earlier run that this run would not replace", where=path, hint=hint)


def _detect(
    detector: LoadedDetector | GraphDetector, tiling: Tiling, classes: Sequence[str], image: ImageReader
) -> BoxDetections:
    """Detect objects of the selected classes."""
    from rotated_atss.tiling.predict import predict_image

    detections = predict_image(detector, image, progress=None, **vars(tiling))
    return _keep_labels(detections, [detector.classes.index(name) for name in classes])


def _draw(
    detections: BoxDetections, model_classes: Sequence[str], image: ImageReader, path: Path, args: argparse.Namespace
) -> None:
    from rotated_atss.ops.boxes import obb_to_poly
    from rotated_atss.visualization.drawing import class_colors

    drawn = detections.scores >= args.score  # selected here, because a huge image can have a million detections
    names = [model_classes[label] for label in detections.labels[drawn].tolist()]
    polygons, scores = obb_to_poly(detections.boxes[drawn]).numpy(), detections.scores[drawn].tolist()
    layer = Layer(polygons, names, scores, colors=class_colors(model_classes))
    write_picture(path, image, [layer], args)


def _keep_labels(detections: BoxDetections, labels: Sequence[int]) -> BoxDetections:
    from dataclasses import replace

    import torch

    keep = torch.isin(detections.labels, torch.tensor(labels))
    boxes, scores = detections.boxes[keep], detections.scores[keep]
    return replace(detections, boxes=boxes, scores=scores, labels=detections.labels[keep])


def _coco_ids(
    paths: Sequence[Path], model_classes: Sequence[str], args: argparse.Namespace
) -> tuple[dict[str, int], list[int]]:
    """Return the image id of each image by its name without suffix, and the category id of each class."""
    from rotated_atss.coco.instances import category_ids, read_instances
    from rotated_atss.coco.results_file import assign_image_ids, default_category_ids, match_image_ids

    if not args.coco_annotations:
        return assign_image_ids([path.stem for path in paths]), default_category_ids(model_classes)
    instances = read_instances(args.coco_annotations)
    by_file = match_image_ids([path.name for path in paths], instances)
    return {path.stem: by_file[path.name] for path in paths}, category_ids(instances, model_classes)


def _coco_results(detections: BoxDetections, ids: tuple[dict[str, int], list[int]] | None) -> list[dict[str, Any]]:
    """Return the detections of one image in COCO's results format."""
    from rotated_atss.coco.results_file import to_coco_results
    from rotated_atss.ops.boxes import obb_to_hbb

    if ids is None:
        return []
    boxes = obb_to_hbb(detections.boxes).numpy()
    return to_coco_results(ids[0][detections.name], boxes, detections.scores.numpy(), detections.labels.numpy(), ids[1])


def _write_coco_ids(
    ids: tuple[dict[str, int], list[int]], paths: Sequence[Path], model_classes: Sequence[str], args: argparse.Namespace
) -> None:
    """Write the list of image and category ids; with ``--coco-annotations``, remove the list of an earlier run."""
    from rotated_atss.coco.results_file import ids_path
    from rotated_atss.io.files import write_json

    if args.coco_annotations:
        ids_path(args.json).unlink(missing_ok=True)
        return
    images = [{"id": ids[0][path.stem], "file_name": path.name} for path in paths]
    categories = [{"id": number, "name": name} for number, name in zip(ids[1], model_classes)]
    write_json(ids_path(args.json), {"images": images, "categories": categories})
