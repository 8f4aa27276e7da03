"""``rotated-atss predict``: detect objects on images of any size."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._classes_option import add_classes_argument, select_classes
from rotated_atss.cli._cluster_prediction import ModelSource, predict_on_cluster
from rotated_atss.cli._config_options import parse_cfg_options
from rotated_atss.cli._detectors import load_any_detector
from rotated_atss.cli._format_option import DOTA, add_format_argument, note_georeferences
from rotated_atss.cli._framework_import import import_framework
from rotated_atss.cli._images import (
    find_images,
    parse_pixel_options,
    print_failures,
    print_skipped_images,
    process_images,
    resolve_pixel_options,
)
from rotated_atss.cli._pictures import add_picture_arguments
from rotated_atss.cli._predicted_image import predict_file
from rotated_atss.cli._prediction_files import DETECTIONS, PICTURES, ImageRecords, PredictionFiles
from rotated_atss.cli._prediction_options import add_inference_arguments, add_window_arguments, check_arguments
from rotated_atss.cli._prediction_results import find_coco_ids, reject_stale_detections, write_result_files
from rotated_atss.cli._preflight import add_model_arguments, split_model_arguments
from rotated_atss.cli._resolution_option import resolve_target_resolution
from rotated_atss.cli._scheduler_option import make_cluster_paths_absolute
from rotated_atss.cli._shard_option import add_shard_argument, parse_shard
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import count_of

if TYPE_CHECKING:
    from rotated_atss.detection.engine.inference import LoadedDetector
    from rotated_atss.runtime import GraphDetector
    from rotated_atss.tiling.predict import Tiling

HELP = (
    "Detect objects on images of any size: run the model on overlapping windows and merge the detections with "
    "class-wise NMS. Writes all detections, regardless of --score, to OUT/detections/Task1_<class>.txt (image, score, "
    "four corners; an input of evaluate, check-submission and draw) or in other formats (--format), and pictures to "
    "OUT/pictures/<image>.png. Gray, 16-bit and transparent images are converted to 8-bit color; all 16-bit images are "
    "scaled by the same factor. Unreadable images are reported and skipped; the exit code is then 2. All files are "
    "moved to OUT at the end; pictures and files in other formats that an earlier run wrote are removed from OUT. To "
    "continue an interrupted run, repeat the command."
)
# These arguments are not part of the description of a run. Either the result does not depend on them, or _describe_run
# describes the files that they name.
_NOT_DESCRIBED = {"inputs", "images", "out", "overwrite", "scheduler", "shard"}
MODEL_FORMS = ("MODEL IMAGE|DIR", "CONFIG CHECKPOINT IMAGE|DIR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser, MODEL_FORMS, "; IMAGE|DIR: an image, or a folder of images")
    parser.add_argument("--out", default="predictions", metavar="DIR", help="output folder (default: predictions)")
    add_classes_argument(parser, "classes to keep", "all classes of the model")
    add_format_argument(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="discard the finished images of an interrupted run and start over"
    )
    add_shard_argument(parser, "predict")
    parser.add_argument("--no-pictures", action="store_true", help="write only detections, no pictures")
    parser.add_argument(
        "--json", metavar="FILE",
        help="also write COCO results (horizontal boxes) to this file, with the image and category ids of "
        "--coco-annotations. Without that option, new ids are assigned and listed in a second file, FILE with the "
        "suffix .ids.json; image ids are then the file names if these are different numbers, otherwise 1, 2, ...",
    )  # fmt: skip
    parser.add_argument(
        "--coco-annotations", metavar="JSON", help="instances JSON with the image and category ids for --json"
    )
    add_window_arguments(parser)
    add_inference_arguments(parser)
    add_picture_arguments(parser)


def run(args: argparse.Namespace) -> int:
    config, checkpoint, (args.images,) = split_model_arguments(args.inputs, num_others=1)
    find_images(args.images)  # The error for a wrong path comes first, before the cluster is contacted.
    started = time.perf_counter()
    if args.scheduler is not None:
        config, checkpoint = _prepare_cluster(config, checkpoint, args)
    paths, cfg_options = check_arguments(args), parse_cfg_options(args.cfg_options)
    notes = list(note_georeferences(args.format.split(","), paths))
    description = _describe_run(args, config, checkpoint, paths)
    names = [path.stem for path in paths]
    files_options = {"json_path": args.json, "overwrite": args.overwrite, "shard": parse_shard(args)}
    with PredictionFiles(args.out, description, names, **files_options) as files:
        if files.outcome is None:
            detector = load_any_detector(config, checkpoint, args, cfg_options)
            for note in notes:
                print(note)
            _predict_images(files, detector, ModelSource(config, checkpoint, args, cfg_options), paths, args)
        else:
            print("completed an interrupted run, whose images were all finished")
        return _print_result(files, paths, args, time.perf_counter() - started)


def _predict_images(
    files: PredictionFiles,
    detector: LoadedDetector | GraphDetector,
    model: ModelSource,
    paths: Sequence[Path],
    args: argparse.Namespace,
) -> None:
    """Detect objects on the images that are not finished yet. Write the results if all images are then processed."""
    from rotated_atss.coco.results_file import ids_path
    from rotated_atss.dota.detections import task1_path
    from rotated_atss.tiling.predict import resolve_tiling

    tiling = resolve_tiling(detector, args.size, args.gap, args.batch, args.iou)
    _print_metadata(detector, model.checkpoint, tiling)
    # predict_file expects the resolved values of resolution and pixels. They are resolved only here, because the
    # description of the run, which is complete now, contains the values of the command line.
    args.resolution = resolve_target_resolution(args.resolution, detector.info, model.checkpoint)
    classes = select_classes(args.classes, detector.classes)
    reject_stale_detections(Path(args.out) / DETECTIONS, list(map(hyphenate, classes)))
    ids = find_coco_ids(paths, detector.classes, args.coco_annotations) if args.json else None
    print_skipped_images(args.images)
    args.pixels = resolve_pixel_options(paths, parse_pixel_options(args, detector.pixels))
    shard_images = set(files.shard_images)
    shard_paths = [path for path in paths if path.stem in shard_images]
    unfinished = [path for path in shard_paths if not files.is_done(path.stem)]
    num_finished = len(shard_paths) - len(unfinished)
    if num_finished:
        print(f"continuing: {num_finished} of {count_of(len(shard_paths), 'image')} finished")
    print(_format_plan(unfinished, tiling, is_resampled=args.resolution is not None), flush=True)
    # The workers of a cluster receive a pickled copy of ImageRecords. PredictionFiles cannot be pickled.
    predict = partial(predict_file, ImageRecords(files.partial), tiling=tiling, classes=classes, args=args)
    if args.scheduler is None:
        process_images(unfinished, lambda path: predict(detector=detector, path=path), "predict")
    else:
        predict_on_cluster(model, predict, unfinished, args.scheduler)
    # no results are written if all images failed
    if not files.count_unprocessed() and any(map(files.is_done, files.images)):
        write_files = partial(write_result_files, files, detector.classes, classes, ids, paths, args)
        stale = [ids_path(args.json)] if args.coco_annotations else []  # this run writes no ids file
        if DOTA not in args.format.split(","):
            stale += [task1_path(Path(args.out) / DETECTIONS, hyphenate(name)) for name in classes]
        files.commit(write_files, stale)


def _prepare_cluster(config: str | None, checkpoint: str, args: argparse.Namespace) -> tuple[str | None, str]:
    """Make all paths absolute, check that all workers see them, and return config and checkpoint."""
    options = {
        "config": config if config is not None and Path(config).exists() else None,  # a bare name is not a path
        "checkpoint": checkpoint, "images": args.images, "out": args.out,
    }  # fmt: skip
    make_cluster_paths_absolute(args.scheduler, options, ["config", "checkpoint", "images"], ["out"])
    args.images, args.out = str(options["images"]), str(options["out"])
    return config if options["config"] is None else str(options["config"]), str(options["checkpoint"])


def _print_result(files: PredictionFiles, paths: Sequence[Path], args: argparse.Namespace, seconds: float) -> int:
    """Print what was written, and return the exit code."""
    outcome = files.outcome
    if outcome is None:  # all images failed, or images are left to other shards
        num_failed = sum(map(files.has_failed, files.shard_images))
        if args.shard:
            left = count_of(files.count_unprocessed(), "image")
            print(f"{seconds:.1f} s; {left} left to other shards; the last shard completes {args.out}")
        return print_failures(num_failed, files.shard_images)
    if outcome["removed"]:
        pictures = count_of(outcome["removed"], "picture")
        print(f"{pictures} of an earlier run removed from {Path(args.out) / PICTURES}")
    if outcome.get("removed_files"):
        print(f"{', '.join(outcome['removed_files'])} of an earlier run removed from {args.out}")
    if outcome.get("vector_files"):  # absent in the journal of an earlier version
        print(f"{', '.join(outcome['vector_files'])} written to {args.out}")
    print(f"{outcome['summary']}; {seconds:.1f} s; written to {args.out}")
    return print_failures(outcome["failed"], paths)


def _describe_run(
    args: argparse.Namespace, config: str | None, checkpoint: str, paths: Sequence[Path]
) -> dict[str, Any]:
    """Describe everything that the result depends on, to find out whether a run can continue an interrupted run."""
    from rotated_atss import __version__
    from rotated_atss.io.run_state import describe_files

    files = [value for value in (args.classes, args.coco_annotations) if value is not None and Path(value).is_file()]
    options = {name: value for name, value in vars(args).items() if name not in _NOT_DESCRIBED}
    return {
        "version of rotated-atss": __version__,
        "model": describe_files([checkpoint]),
        "config": None if config is None else _config_checksum(config),
        "files": describe_files(files),
        **{f"--{name.replace('_', '-')}": value for name, value in options.items()},
        "images": describe_files(paths),
    }


def _config_checksum(config: str) -> str:
    """Return a checksum of a config, including everything that it inherits."""
    import_framework()
    from rotated_atss.detection.engine.config import load_config

    return hashlib.sha256(json.dumps(load_config(config).to_dict(), sort_keys=True, default=str).encode()).hexdigest()


def _print_metadata(detector: LoadedDetector | GraphDetector, checkpoint: str, tiling: Tiling) -> None:
    """Print the metadata of the model. If window size or overlap differ from the metadata, print them as well."""
    from rotated_atss.tiling.predict import WHOLE_IMAGE

    if detector.info is None:
        return
    print(f"{checkpoint}: {detector.info.describe()}")
    recorded = detector.info.window
    if tiling.size != recorded.size:
        print(f"--size {tiling.size} instead of {recorded.size} in the model metadata")
    if tiling.size != WHOLE_IMAGE and tiling.split_settings().gaps[0] != recorded.gap:
        print(f"overlap of {tiling.split_settings().gaps[0]} px instead of {recorded.gap} px in the model metadata")


def _format_plan(paths: Sequence[Path], tiling: Tiling, *, is_resampled: bool) -> str:
    """Describe in one line the numbers of images and windows to process."""
    from rotated_atss.tiling.predict import WHOLE_IMAGE
    from rotated_atss.tiling.split_plan import count_windows

    images = count_of(len(paths), "image")
    if tiling.size == WHOLE_IMAGE:
        return f"{images}, each as a whole"
    if is_resampled:  # the number of windows depends on the resolution of each image
        return f"{images}, windows of {tiling.size} px"
    windows = sum(count_windows(path, tiling.split_settings()) for path in paths)
    return f"{images}, {count_of(windows, 'window')} of {tiling.size} px"
