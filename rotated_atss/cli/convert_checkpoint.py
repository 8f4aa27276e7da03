"""``rotated-atss convert-checkpoint``: convert weights of other projects."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._preflight import check_inputs_exist

if TYPE_CHECKING:
    from rotated_atss.checkpoints.convert import Conversion
    from rotated_atss.detection.engine.convert_file import ConvertedFile

HELP = "Convert a checkpoint of mmrotate, MMDetection or the official ATSS to the parameter names of this package."
SOURCES = ("mmrotate-0.x", "mmrotate-1.x", "mmdet-2.x", "mmdet-3.x", "atss-official")
EPILOG = """\
The weights are written twice, to OUT.pth and OUT.safetensors; test, predict and load_from accept both. The converted
model decodes the same boxes as the source, up to rounding: where the source encodes boxes differently (angle version
oc of mmrotate 1.x, or rotated priors), the last convolution of the box branch is rewritten. Checkpoints that do not
match the config are refused. No code in the checkpoint is executed.

examples:
  rotated-atss convert-checkpoint rotated_atss_hbb_r50_fpn_1x_dota_oc-eaa94033.pth atss_oc
  rotated-atss convert-checkpoint epoch_12.pth out.pth --config rotated_retinanet_hbb_r50_fpn_1x_dota_oc
  rotated-atss convert-checkpoint ATSS_R_50_FPN_1x.pth atss_official.safetensors
  rotated-atss convert-checkpoint v15.pth v15 --from mmrotate-0.x --angle-version le90 \\
    --cfg-options model.bbox_head.num_classes=16 test_dataloader.dataset.classes=v1.5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint to convert")
    parser.add_argument(
        "out",
        metavar="OUT",
        help="output path; OUT.pth and OUT.safetensors are both written, whichever suffix is given",
    )
    parser.add_argument(
        "--from", dest="source", choices=SOURCES, metavar="SOURCE",
        help=f"source of the checkpoint: {', '.join(SOURCES)} (default: detected, and printed with the reason)",
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="CONFIG",
        help="path or bare name of the matching config (default: detected from the shapes)",
    )  # fmt: skip
    parser.add_argument(
        "--angle-version", choices=("oc", "le90", "le135"),
        help="angle version of the boxes, needed if neither the checkpoint nor its file name contains it",
    )  # fmt: skip
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    check_inputs_exist(args.config, args.checkpoint)
    from rotated_atss.checkpoints.weight_files import output_paths, save_weights
    from rotated_atss.detection.engine.convert_file import convert_file
    from rotated_atss.io.files import reject_overlapping_output

    for path in output_paths(args.out):
        reject_overlapping_output(path, [args.checkpoint], may_contain_inputs=True, hint="choose another OUT")
    converted = convert_file(
        args.checkpoint, source=args.source, angle_version=args.angle_version, config=args.config,
        cfg_options=parse_cfg_options(args.cfg_options),
    )  # fmt: skip
    print_conversion(args.checkpoint, converted)
    paths = save_weights(args.out, converted.conversion.state, converted.meta)
    print(f"wrote {paths[0]} and {paths[1]}")
    return 0


def print_conversion(path: str | Path, converted: ConvertedFile) -> None:
    """Print the source and the config of a conversion, and how many weights were mapped, dropped and filled.

    Args:
        path: The source file.
        converted: Result of the conversion of this file.
    """
    print(f"{path}: {converted.origin.source}, {converted.origin.reason}")
    print(f"config: {converted.target.config}, {converted.config_reason}")
    _print_weights(converted.conversion)


def _print_weights(conversion: Conversion) -> None:
    from rotated_atss.checkpoints.compatibility import count_by_prefix

    total = len(conversion.mapped) + len(conversion.dropped)
    print(f"mapped: {len(conversion.mapped)} of {total} ({count_by_prefix(conversion.mapped)})")
    first_dropped = f" (first: {conversion.dropped[0]})" if conversion.dropped else ""
    print(f"dropped: {len(conversion.dropped)}{first_dropped}")
    print("missing: 0")  # always 0, because the conversion fails if it cannot fill a missing weight
    names_by_value: dict[str, list[str]] = {}  # value as text -> names of the weights that were filled with it
    for name, value in conversion.filled.items():
        names_by_value.setdefault(value, []).append(name)
    for value, names in names_by_value.items():
        print(f"filled: {len(names)} (first: {names[0]}), value {value}")
    for note in conversion.notes:
        print(note)
