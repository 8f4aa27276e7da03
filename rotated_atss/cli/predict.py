"""``rotated-atss predict``."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._classes_option import add_classes_argument, select_classes
from rotated_atss.cli._cluster_prediction import ModelSource, predict_on_cluster
from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._detectors import load_any_detector
from rotated_atss.cli._device_option import add_device_argument
from rotated_atss.cli._feature_files import DOTA, add_format_argument, note_georeferences, parse_formats
from rotated_atss.cli._framework_import import import_framework
from rotated_atss.cli._images import (
    add_pixel_arguments,
    check_output_folders,
    find_images,
    parse_pixel_options,
    print_failures,
    print_skipped_images,
    process_images,
    resolve_pixels,
)
from rotated_atss.cli._pictures import (
    Layer,
    add_picture_arguments,
    check_picture_arguments,
    picture_path,
    write_picture,
)
from rotated_atss.cli._prediction_files import DETECTIONS, PICTURES, ImageRecords, PredictionFiles
from rotated_atss.cli._preflight import add_model_arguments, split_model_arguments
from rotated_atss.cli._resolution_option import (
    add_resolution_argument,
    parse_resolution,
    resampling_rate,
    target_resolution,
)
from rotated_atss.cli._scheduler_option import add_scheduler_argument, prepare_cluster
from rotated_atss.cli._shard_option import add_shard_argument, parse_shard
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
    "moved into OUT at the end; pictures and other formats of an earlier run in OUT are removed. A run that was "
    "stopped is continued by the same command."
)
_NOT_DESCRIBED = {"inputs", "images", "out", "overwrite", "scheduler", "shard"}
MODEL_FORMS = ("MODEL IMAGE|DIR", "CONFIG CHECKPOINT IMAGE|DIR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser, MODEL_FORMS, "; IMAGE|DIR: an image, or a folder of images")
    parser.add_argument("--out", default="predictions", metavar="DIR", help="output folder (default: predictions)")
    add_classes_argument(parser, "classes to keep", "all classes of the model")
    add_format_argument(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="discard the finished images of an interrupted run and start anew"
    )
    add_shard_argument(parser, "predict")
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
    add_resolution_argument(windows)


def _add_inference(parser: argparse.ArgumentParser) -> None:
    inference = parser.add_argument_group("inference")
    inference.add_argument("--batch", type=int, default=4, metavar="N", help="windows per batch (default: 4)")
    add_device_argument(inference)
    add_scheduler_argument(inference)
    add_pixel_arguments(inference)
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
    started = time.perf_counter()
    if args.scheduler is not None:
        config, checkpoint = _share(config, checkpoint, args)
    paths, options = _check_arguments(args), parse_cfg_options(args.cfg_options)
    notes = list(note_georeferences(args.format.split(","), paths))
    state = _describe_run(args, config, checkpoint, paths)
    names = [path.stem for path in paths]
    options_of_files = {"json_path": args.json, "overwrite": args.overwrite, "shard": parse_shard(args)}
    with PredictionFiles(args.out, state, names, **options_of_files) as files:
        if files.finished is None:
            detector = load_any_detector(config, checkpoint, args, options)
            for note in notes:
                print(note)
            _predict_images(files, detector, ModelSource(config, checkpoint, args, options), paths, args)
        else:
            print("the interrupted run was finished")
        return _print_result(files, paths, args, time.perf_counter() - started)


def _predict_images(
    files: PredictionFiles,
    detector: LoadedDetector | GraphDetector,
    model: ModelSource,
    paths: Sequence[Path],
    args: argparse.Namespace,
) -> None:
    """Detect on the images that are not finished, and write the results when all are."""
    from rotated_atss.coco.results_file import ids_path
    from rotated_atss.dota.detections import task1_path
    from rotated_atss.tiling.predict import resolve_tiling

    tiling = resolve_tiling(detector, args.size, args.gap, args.batch, args.iou)
    _print_record(detector, model.checkpoint, tiling)
    args.resolution = target_resolution(args.resolution, detector.info, model.checkpoint)
    classes = select_classes(args.classes, detector.classes)
    _check_leftovers(Path(args.out) / DETECTIONS, list(map(hyphenate, classes)))
    ids = _coco_ids(paths, detector.classes, args) if args.json else None
    print_skipped_images(args.images)
    args.pixels = resolve_pixels(paths, parse_pixel_options(args, detector.pixels))
    own_names = set(files.own_images)
    own = [path for path in paths if path.stem in own_names]
    left = [path for path in own if not files.is_done(path.stem)]
    if len(left) < len(own):
        print(f"continuing: {len(own) - len(left)} of {count_of(len(own), 'image')} finished")
    print(_plan(left, tiling, is_resampled=args.resolution is not None), flush=True)
    predict = partial(_predict_image, ImageRecords(files.partial), tiling=tiling, classes=classes, args=args)
    if args.scheduler is None:
        process_images(left, lambda path: predict(detector=detector, path=path), "predict")
    else:
        predict_on_cluster(model, predict, left, args.scheduler)
    if not files.count_left() and any(map(files.is_done, files.images)):
        compose = partial(_compose, files, detector.classes, classes, ids, paths, args)
        stale = [ids_path(args.json)] if args.coco_annotations else []
        if DOTA not in args.format.split(","):
            stale += [task1_path(Path(args.out) / DETECTIONS, hyphenate(name)) for name in classes]
        files.commit(compose, stale)


def _share(config: str | None, checkpoint: str, args: argparse.Namespace) -> tuple[str | None, str]:
    """Return the config and the model file with absolute paths, after all workers see these and the images."""
    options = {
        "config": config if config is not None and Path(config).exists() else None,  # or the name of a config
        "checkpoint": checkpoint, "images": args.images, "out": args.out,
    }  # fmt: skip
    prepare_cluster(args.scheduler, options, ["config", "checkpoint", "images"], ["out"])
    args.images, args.out = str(options["images"]), str(options["out"])
    return config if options["config"] is None else str(options["config"]), str(options["checkpoint"])


def _predict_image(
    files: ImageRecords,
    detector: LoadedDetector | GraphDetector,
    tiling: Tiling,
    classes: Sequence[str],
    path: Path,
    args: argparse.Namespace,
) -> None:
    """Detect on one image, write its picture and record its detections."""
    from rotated_atss.io.image_reader import open_image
    from rotated_atss.tiling.prediction_record import ImageInfo

    try:
        with open_image(path, args.pixels) as image:
            detections = replace(_detect(detector, tiling, classes, args.resolution, image), name=path.stem)
            if not args.no_pictures:
                _draw(detections, detector.classes, image, files.picture_path(path), args)
            files.add(detections, ImageInfo.of(image))
    except UserError as error:
        files.add_failure(path.stem, error)
        raise


def _compose(
    files: PredictionFiles,
    model_classes: Sequence[str],
    classes: Sequence[str],
    ids: tuple[dict[str, int], list[int]] | None,
    paths: Sequence[Path],
    args: argparse.Namespace,
    records: Sequence[Path],
) -> str:
    """Write the result files and return the summary."""
    from rotated_atss.coco.results_file import ids_path
    from rotated_atss.tiling.prediction_results import CocoWriter, ResultWriter, Task1Writer, compose

    writers: list[ResultWriter] = []
    formats, written_names = args.format.split(","), list(map(hyphenate, model_classes))
    if DOTA in formats:
        writers.append(Task1Writer(files.results / DETECTIONS, written_names, list(map(hyphenate, classes))))
    if set(formats) - {DOTA}:
        from rotated_atss.tiling.feature_writer import FeatureWriter

        writers.append(FeatureWriter(files.results, [name for name in formats if name != DOTA], written_names))
    if ids is not None:
        writers.append(CocoWriter(files.part_of(args.json), *ids))
        if not args.coco_annotations:
            _write_coco_ids(files.part_of(ids_path(args.json)), ids, paths, model_classes)
    total, shown = compose(records, writers, args.score)
    counts = f"{count_of(len(records), 'image')}, {count_of(total, 'detection')}"
    return f"{counts}, {shown} of them with a score of at least {args.score:g}"


def _print_result(files: PredictionFiles, paths: Sequence[Path], args: argparse.Namespace, seconds: float) -> int:
    """Print what was written, and return the exit code."""
    result = files.finished
    if result is None:
        failed = sum(map(files.has_failed, files.own_images))
        if args.shard:
            left = count_of(files.count_left(), "image")
            print(f"{seconds:.1f} s; {left} left to other shards, the last of which completes {args.out}")
        return print_failures(failed, files.own_images)
    if result["removed"]:
        pictures = count_of(result["removed"], "picture")
        print(f"{pictures} of an earlier run removed from {Path(args.out) / PICTURES}")
    if result.get("removed_files"):
        print(f"{', '.join(result['removed_files'])} of an earlier run removed from {args.out}")
    print(f"{result['summary']}; {seconds:.1f} s; written to {args.out}")
    return print_failures(result["failed"], paths)


def _describe_run(
    args: argparse.Namespace, config: str | None, checkpoint: str, paths: Sequence[Path]
) -> dict[str, Any]:
    """Describe all that the result depends on, so that the same command continues an interrupted run."""
    from rotated_atss import __version__
    from rotated_atss.io.run_state import describe_files

    others = [path for path in (args.classes, args.coco_annotations) if path is not None and Path(path).is_file()]
    options = {name: value for name, value in vars(args).items() if name not in _NOT_DESCRIBED}
    return {
        "version of rotated-atss": __version__,
        "model": describe_files([checkpoint]),
        "config": None if config is None else _digest(config),
        "files": describe_files(others),
        **{f"--{name.replace('_', '-')}": value for name, value in options.items()},
        "images": describe_files(paths),
    }


def _digest(config: str) -> str:
    """Return a checksum of a config with all that it inherits."""
    import_framework()
    from rotated_atss.detection.engine.config import load_config

    return hashlib.sha256(json.dumps(load_config(config).to_dict(), sort_keys=True, default=str).encode()).hexdigest()


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


def _plan(paths: Sequence[Path], tiling: Tiling, *, is_resampled: bool) -> str:
    """Format the amount of work, which is known before the first image."""
    from rotated_atss.tiling.predict import WHOLE_IMAGE
    from rotated_atss.tiling.split_plan import count_windows

    images = count_of(len(paths), "image")
    if tiling.size == WHOLE_IMAGE:
        return f"{images}, each as a whole"
    if is_resampled:
        return f"{images}, windows of {tiling.size} px"
    windows = sum(count_windows(path, tiling.split_settings()) for path in paths)
    return f"{images}, {count_of(windows, 'window')} of {tiling.size} px"


def _check_arguments(args: argparse.Namespace) -> list[Path]:
    """Check all arguments that can be checked without the model, and list the images."""
    from rotated_atss.io.files import check_output_apart
    from rotated_atss.tiling.predict import Tiling
    from rotated_atss.visualization.png_output import check_overwritable

    check_picture_arguments(args)
    parse_resolution(args.resolution)
    args.format = ",".join(parse_formats(args.format))
    parse_pixel_options(args)
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
    detector: LoadedDetector | GraphDetector,
    tiling: Tiling,
    classes: Sequence[str],
    resolution: float | None,
    image: ImageReader,
) -> BoxDetections:
    """Detect objects of the selected classes."""
    from rotated_atss.io.progress import print_above_bar
    from rotated_atss.tiling.predict import predict_image

    rate, note = resampling_rate(image, resolution)
    if note:
        print_above_bar(note)
    detections = predict_image(detector, image, rate=rate, progress=None, **vars(tiling))
    labels = [detector.classes.index(name) for name in classes]
    return detections if len(set(labels)) == len(detector.classes) else _keep_labels(detections, labels)


def _draw(
    detections: BoxDetections, model_classes: Sequence[str], image: ImageReader, path: Path, args: argparse.Namespace
) -> None:
    from rotated_atss.ops.boxes import obb_to_poly
    from rotated_atss.visualization.palettes import class_styles

    drawn = detections.scores >= args.score  # selected here, because a huge image can have a million detections
    names = [model_classes[label] for label in detections.labels[drawn].tolist()]
    polygons, scores = obb_to_poly(detections.boxes[drawn]).numpy(), detections.scores[drawn].tolist()
    layer = Layer(polygons, names, scores, styles=class_styles(model_classes, args.palette))
    try:
        write_picture(path, image, [layer], args)
    except UserError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            raise error.__cause__ from None  # a full disk ends the run instead of failing every image
        raise


def _keep_labels(detections: BoxDetections, labels: Sequence[int]) -> BoxDetections:
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


def _write_coco_ids(
    path: Path, ids: tuple[dict[str, int], list[int]], paths: Sequence[Path], model_classes: Sequence[str]
) -> None:
    """Write the list of image and category ids."""
    from rotated_atss.io.files import write_json

    images = [{"id": ids[0][path.stem], "file_name": path.name} for path in paths]
    categories = [{"id": number, "name": name} for number, name in zip(ids[1], model_classes)]
    write_json(path, {"images": images, "categories": categories})
