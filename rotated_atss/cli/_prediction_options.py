"""Options of ``predict`` for windows and inference, and checks of its arguments before the model is loaded."""

from __future__ import annotations

import argparse
from pathlib import Path

from rotated_atss.cli._config_options import add_cfg_options
from rotated_atss.cli._device_option import add_device_argument
from rotated_atss.cli._format_option import parse_formats
from rotated_atss.cli._images import add_pixel_arguments, check_output_folders, find_images, parse_pixel_options
from rotated_atss.cli._pictures import check_picture_arguments, picture_path
from rotated_atss.cli._prediction_files import DETECTIONS, PICTURES
from rotated_atss.cli._resolution_option import add_resolution_argument, parse_resolution
from rotated_atss.cli._scheduler_option import add_scheduler_argument
from rotated_atss.errors import UserError


def add_window_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the windows, and for merging their detections."""
    windows = parser.add_argument_group("windows")
    windows.add_argument(
        "--size", type=int, metavar="PX",
        help="window size; 0 for the whole image (default: the size of the training tiles according to the model "
        "metadata; without metadata, the image size of the config's test pipeline: 1024 for DOTA, 0 for COCO)",
    )  # fmt: skip
    windows.add_argument(
        "--gap", type=int, metavar="PX",
        help="overlap of windows (default: according to the model metadata, but at most half the size; without "
        "metadata, 200/1024 of the size)",
    )  # fmt: skip
    windows.add_argument(
        "--iou", type=float, metavar="IOU",
        help="IoU threshold of the class-wise NMS that merges the detections of all windows (default: the config's)",
    )  # fmt: skip
    add_resolution_argument(windows)


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for running the model."""
    inference = parser.add_argument_group("inference")
    inference.add_argument("--batch", type=int, default=4, metavar="N", help="windows per batch (default: 4)")
    add_device_argument(inference)
    add_scheduler_argument(inference)
    add_pixel_arguments(inference)
    inference.add_argument(
        "--fast", action="store_true",
        help="select and print the fastest way to run the model on this machine; worthwhile for many images. For an "
        "ONNX file: the faster of ONNX Runtime and OpenVINO, which are timed at the start. For a checkpoint: channels "
        "last and, if the processor supports it, bfloat16",
    )  # fmt: skip
    inference.add_argument("--amp", action="store_true", help="run the network in bfloat16")
    inference.add_argument(
        "--channels-last", action="store_true", help="use the channels-last memory layout, often faster"
    )
    add_cfg_options(inference)


def check_arguments(args: argparse.Namespace) -> list[Path]:
    """Check all arguments that can be checked without the model, and return the paths of the images.

    Args:
        args: Arguments of ``predict``. This function changes ``format``: it puts the names into lower case and removes
            repeated ones.

    Raises:
        UserError: An argument is wrong, there is no image, an output overlaps an input, or a picture would replace a
            file that this package has not written.
    """
    from rotated_atss.io.files import reject_overlapping_output
    from rotated_atss.tiling.predict import Tiling
    from rotated_atss.visualization.png_output import check_overwritable

    check_picture_arguments(args)
    # Resolution and pixel options are only checked here: predict parses them again, with the model metadata.
    parse_resolution(args.resolution)
    args.format = ",".join(parse_formats(args.format))
    parse_pixel_options(args)
    # This Tiling only checks the ranges of the values. Without --size, the window size comes from the model metadata.
    # --gap must be less than the window size, so predict checks it after the model is loaded.
    size, gap = (Tiling.size, None) if args.size is None else (args.size, args.gap)
    iou_threshold = Tiling.iou_threshold if args.iou is None else args.iou
    Tiling(size, gap, args.batch, iou_threshold)
    paths = find_images(args.images)
    # The subfolders are checked as well as the output folder: a single input image may lie in OUT/pictures, and for a
    # single image, only the folder that directly contains it is refused as an output folder.
    check_output_folders([args.out, *(Path(args.out) / name for name in (DETECTIONS, PICTURES))], args.images)
    if args.coco_annotations and not args.json:
        raise UserError("--coco-annotations is used only with --json, which is missing", hint="add --json FILE")
    if args.json:
        reject_overlapping_output(args.json, [args.images], may_contain_inputs=True)
    if not args.no_pictures:
        for path in paths:
            check_overwritable(picture_path(Path(args.out) / PICTURES, path))
    return paths
