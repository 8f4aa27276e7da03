"""``rotated-atss config``: print a config with everything that it inherits."""

from __future__ import annotations

import argparse
import json

from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._preflight import check_inputs_exist

HELP = "Print a config with everything that it inherits, as Python that train and test accept, or as JSON."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="path or bare name of a config")
    add_cfg_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    check_inputs_exist(args.config)
    from rotated_atss.checkpoints.config_text import format_config_text
    from rotated_atss.detection.engine.config import load_config

    values = load_config(args.config, parse_cfg_options(args.cfg_options)).to_dict()
    del values["config_name"]  # a config takes its name from its file
    print(json.dumps(values, indent=1, ensure_ascii=False) if args.json else format_config_text(values), end="")
    return 0
