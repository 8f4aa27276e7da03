"""``rotated-atss convert-checkpoint``: published weights of other projects as weights of ours."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.cli._early import check_given
from rotated_atss.cli.train import parse_options

if TYPE_CHECKING:
    from rotated_atss.checkpoints import Conversion, Origin, Target

HELP = "Convert a checkpoint of mmrotate, MMDetection or the official ATSS; the source and the config are guessed."
SOURCES = ("mmrotate-0.x", "mmrotate-1.x", "mmdet-2.x", "mmdet-3.x", "atss-official")
EPILOG = """\
Two files are written, OUT.pth and OUT.safetensors, with the same weights under the names of this project; test,
predict and load_from take either. Boxes are those of the source to rounding: where a source writes them in another
way (the oc angle and the priors of mmrotate 1.x), the last convolution of the box branch is rewritten. Whatever does
not fit is refused, and nothing of the file is run while it is read.

examples:
  rotated-atss convert-checkpoint rotated_atss_hbb_r50_fpn_1x_dota_oc-eaa94033.pth atss_oc
  rotated-atss convert-checkpoint epoch_12.pth out.pth --config rotated_retinanet_hbb_r50_fpn_1x_dota_oc
  rotated-atss convert-checkpoint ATSS_R_50_FPN_1x.pth atss_official.safetensors
  rotated-atss convert-checkpoint v15.pth v15 --from mmrotate-0.x --angle-version le90 \\
    --cfg-options model.bbox_head.num_classes=16 test_dataloader.dataset.classes=v1.5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``convert-checkpoint``."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
    parser.add_argument("checkpoint", metavar="IN", help="the checkpoint to convert")
    parser.add_argument("out", metavar="OUT", help="where to write; with .pth, .safetensors or no suffix")
    parser.add_argument(
        "--from", dest="source", choices=SOURCES, metavar="SOURCE",
        help=f"whose checkpoint it is: {', '.join(SOURCES)} (default: a guess, which is printed with its reason)",
    )  # fmt: skip
    parser.add_argument("--config", metavar="CONFIG", help="the config it is for (default: told from the weights)")
    parser.add_argument(
        "--angle-version", choices=("oc", "le90", "le135"),
        help="angle version of its boxes, where neither the checkpoint nor its name says it",
    )  # fmt: skip
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the config")


def run(args: argparse.Namespace) -> int:
    """Convert, and print what became of every weight."""
    check_given(args.config, args.checkpoint)
    from rotated_atss.checkpoints import convert_checkpoint, find_origin, save_weights
    from rotated_atss.checkpoints.weight_files import output_paths
    from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
    from rotated_atss.detection.engine.conversion_target import describe_target

    _keep_apart(args.checkpoint, output_paths(args.out))
    options = parse_options(args.cfg_options)
    origin = find_origin(
        read_checkpoint(args.checkpoint), args.checkpoint, source=args.source, angle_version=args.angle_version
    )
    print(f"{args.checkpoint}: {origin.source}, {origin.why}")
    config, why = (args.config, "as told") if args.config else _find_config(origin, args.checkpoint)
    target = describe_target(config, options)
    print(f"config: {target.config}, {why}")
    conversion = convert_checkpoint(origin, target, args.checkpoint)
    _report(conversion)
    paths = save_weights(args.out, conversion.state, _meta(origin, target, args.checkpoint))
    print(f"wrote {paths[0]} and {paths[1]}")
    return 0


def _keep_apart(source: str, outputs: Iterable[Path]) -> None:
    from rotated_atss.errors import UserError

    for path in outputs:
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise UserError("is the checkpoint itself", where=path, hint="choose another OUT")


def _find_config(origin: Origin, path: str) -> tuple[str, str]:
    """The config that the shapes of the weights belong to, and why."""
    from rotated_atss.checkpoints.keys import rename
    from rotated_atss.checkpoints.match import config_pattern, matching_configs
    from rotated_atss.configs import config_names
    from rotated_atss.errors import UserError

    pattern = config_pattern(rename(origin.state, origin.source)[0], origin.source, origin.angle_version)
    found = matching_configs(pattern, config_names(), origin.name) if pattern else []
    if not found:
        raise UserError("no config has a model of these shapes", where=path, hint="name one with --config")
    if origin.angle_version is None and "_coco" not in found[0]:
        raise UserError(
            "nothing names the angle version of its boxes", where=path, hint="--angle-version oc, le90 or le135"
        )
    others = f"; the same weights fit {', '.join(found[1:])}" if found[1:] else ""
    return found[0], f"by its shapes{others}"


def _report(conversion: Conversion) -> None:
    from rotated_atss.checkpoints.convert import by_prefix

    total = len(conversion.mapped) + len(conversion.left)
    print(f"mapped: {len(conversion.mapped)} of {total} ({by_prefix(conversion.mapped)})")
    first = f" (first: {conversion.left[0]})" if conversion.left else ""
    print(f"left: {len(conversion.left)}{first}")
    print("missing: 0")
    by_value: dict[str, list[str]] = {}
    for name, value in conversion.made.items():
        by_value.setdefault(value, []).append(name)
    for value, names in by_value.items():
        print(f"filled in: {len(names)} (first: {names[0]}) with {value}")
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
