"""``rotated-atss convert-checkpoint``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._preflight import check_inputs_exist
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.checkpoints import Conversion, Origin, Target

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
        help=f"source of the checkpoint: {', '.join(SOURCES)} (default: detected; printed with the reason)",
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="CONFIG",
        help="path or bare name of the matching config (default: detected from the shapes)",
    )  # fmt: skip
    parser.add_argument(
        "--angle-version", choices=("oc", "le90", "le135"),
        help="angle version of the boxes, needed if neither the checkpoint nor its file name states it",
    )  # fmt: skip
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    check_inputs_exist(args.config, args.checkpoint)
    from rotated_atss.checkpoints import convert_checkpoint, find_origin, save_weights
    from rotated_atss.checkpoints.weight_files import output_paths
    from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
    from rotated_atss.detection.engine.conversion_target import describe_target
    from rotated_atss.io.files import check_output_apart

    for path in output_paths(args.out):
        check_output_apart(path, [args.checkpoint], may_contain_inputs=True, hint="choose another OUT")
    options = parse_cfg_options(args.cfg_options)
    origin = find_origin(
        read_checkpoint(args.checkpoint), args.checkpoint, source=args.source, angle_version=args.angle_version
    )
    print(f"{args.checkpoint}: {origin.source}, {origin.reason}")
    config, why = (args.config, "given by --config") if args.config else _find_config(origin, args.checkpoint)
    target = describe_target(config, options)
    print(f"config: {target.config}, {why}")
    conversion = convert_checkpoint(origin, target, args.checkpoint)
    _report(conversion)
    paths = save_weights(args.out, conversion.state, _meta(origin, target, args.checkpoint))
    print(f"wrote {paths[0]} and {paths[1]}")
    return 0


def _find_config(origin: Origin, path: str) -> tuple[str, str]:
    """Return the config whose model has the shapes of the weights, and the reason as printed."""
    from rotated_atss.checkpoints.keys import rename_keys
    from rotated_atss.checkpoints.match import config_pattern, matching_configs
    from rotated_atss.configs import config_names

    pattern = config_pattern(rename_keys(origin.state, origin.source)[0], origin.source, origin.angle_version)
    configs = matching_configs(pattern, config_names(), origin.name) if pattern else []
    if not configs:
        raise UserError("no config matches the shapes of the weights", where=path, hint="choose one with --config")
    if origin.angle_version is None and "_coco" not in configs[0]:
        raise UserError(
            "the angle version of its boxes is unknown", where=path, hint="give --angle-version oc, le90 or le135"
        )
    others = f"; the same weights fit {', '.join(configs[1:])}" if configs[1:] else ""
    return configs[0], f"detected from the shapes{others}"


def _report(conversion: Conversion) -> None:
    from rotated_atss.checkpoints.compatibility import count_by_prefix

    total = len(conversion.mapped) + len(conversion.dropped)
    print(f"mapped: {len(conversion.mapped)} of {total} ({count_by_prefix(conversion.mapped)})")
    first = f" (first: {conversion.dropped[0]})" if conversion.dropped else ""
    print(f"dropped: {len(conversion.dropped)}{first}")
    print("missing: 0")
    by_value: dict[str, list[str]] = {}
    for name, value in conversion.filled.items():
        by_value.setdefault(value, []).append(name)
    for value, names in by_value.items():
        print(f"filled: {len(names)} (first: {names[0]}), value {value}")
    for note in conversion.notes:
        print(note)


def _meta(origin: Origin, target: Target, path: str) -> dict:
    from rotated_atss import __version__

    meta = {
        "converted_from": origin.source,
        "source_file": Path(path).name,
        "config": target.config,
        "rotated_atss_version": __version__,
    }
    classes = origin.classes or target.classes
    return {**meta, "dataset_meta": {"classes": list(classes)}} if classes else meta
