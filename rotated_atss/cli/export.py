"""``rotated-atss export``: write a model as an ONNX file or as a torch.export package."""

from __future__ import annotations

import argparse
from pathlib import Path

from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._framework_import import import_framework
from rotated_atss.cli._preflight import add_model_arguments, split_model_arguments
from rotated_atss.errors import UserError

HELP = (
    "Export a model's network and decoding as an ONNX file or as a torch.export package. The ONNX file is for predict, "
    "test and other programs on machines without the training packages. Input: images (B, 3, H, W) float32, RGB, 0 to "
    "255; the normalization is part of the graph. Outputs: scores (B, A, classes) and boxes (B, A, 5) of all priors; "
    "selection and NMS are not part of the graph. The exported graph is compared with torch before the file is written."
)
MODEL_FORMS = ("MODEL", "CONFIG CHECKPOINT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser, MODEL_FORMS)
    parser.add_argument("--onnx", metavar="FILE", help="ONNX file to write (.onnx)")
    parser.add_argument("--torch-export", metavar="FILE", help="torch.export package to write (.pt2)")
    parser.add_argument(
        "--precision", choices=("float32", "float16", "int8"), default="float32",
        help="number format of the network in the ONNX file (default: float32); int8 needs --calibration",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", metavar="DIR",
        help="folder of images or tiles from which the int8 scales are computed. They should resemble the images on "
        "which the model is used",
    )  # fmt: skip
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    config, checkpoint, _ = split_model_arguments(args.inputs)
    _check_arguments(args, checkpoint)
    import_framework()
    from rotated_atss.detection.engine.export import ExportOptions, export

    options = ExportOptions(
        onnx=args.onnx, torch_export=args.torch_export, precision=args.precision, calibration=args.calibration,
        cfg_options=parse_cfg_options(args.cfg_options),
    )  # fmt: skip
    for line in export(config, checkpoint, options):
        print(line, flush=True)
    return 0


def _check_arguments(args: argparse.Namespace, checkpoint: str) -> None:
    """Check all arguments that can be checked before torch is imported."""
    from rotated_atss.io.files import check_writable, reject_overlapping_output

    if not args.onnx and not args.torch_export:
        raise UserError("no output: give --onnx FILE or --torch-export FILE")
    if (args.precision == "int8") != (args.calibration is not None):
        raise UserError("--precision int8 and --calibration DIR need each other")
    if args.precision != "float32" and args.onnx is None:
        raise UserError(f"--precision {args.precision} applies only to the ONNX file: add --onnx FILE")
    if args.calibration is not None and not Path(args.calibration).is_dir():
        raise UserError("no such folder of images", where=args.calibration)
    for option, path, suffix in (("--onnx", args.onnx, ".onnx"), ("--torch-export", args.torch_export, ".pt2")):
        if path is None:
            continue
        if Path(path).suffix.lower() != suffix:
            raise UserError(f"the file must end in {suffix}, got {Path(path).name}", where=option)
        reject_overlapping_output(path, [checkpoint])
        check_writable(path)
