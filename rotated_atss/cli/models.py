"""``rotated-atss models``: list, download, inspect and publish models."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._config_options import add_safe_config_argument
from rotated_atss.errors import UserError
from rotated_atss.io.status_line import terminal_width
from rotated_atss.io.text_table import fit_columns

if TYPE_CHECKING:
    from rotated_atss.checkpoints.model_info import ModelInfo
    from rotated_atss.checkpoints.registry import RegistryEntry

HELP = "List and download published models, print the metadata of a model file, and publish models."
_ACTIONS = {
    "list": "List published models: name, kind, result, size in MB, license and whether it is downloaded.",
    "download": "Download a published model, check its hash and convert it. Run it again to continue an incomplete "
    "download.",
    "info": "Print the metadata of a model file (.pth, .safetensors or .onnx), or the entry of a published model.",
    "publish": "Write the weights of a checkpoint, without its training state, to FOLDER/NAME-HASH.safetensors, and "
    "add the model to the registry FOLDER/models.json.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    parsers = {name: actions.add_parser(name, help=text, description=text) for name, text in _ACTIONS.items()}
    for name in ("list", "download", "info"):
        parsers[name].add_argument(
            "--registry", metavar="FILE",
            help="registry with further models, such as the models.json that publish writes (default: "
            "$ROTATED_ATSS_REGISTRY, if set)",
        )  # fmt: skip
    for name in ("list", "info"):
        parsers[name].add_argument("--json", action="store_true", help="print JSON")
    parsers["download"].add_argument("name", metavar="NAME", help="name of a published model")
    parsers["info"].add_argument("model", metavar="FILE|NAME", help="a model file, or the name of a published model")
    parsers["info"].add_argument("--config", action="store_true", help="print the config in the model file")
    _add_publish_arguments(parsers["publish"])


def _add_publish_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a .pth or .safetensors file")
    parser.add_argument("folder", metavar="FOLDER", help="new folder, or folder with published models")
    parser.add_argument("--name", metavar="NAME", help="name of the model (default: the name of its config)")
    parser.add_argument("--license", required=True, metavar="TEXT", help="license of the weights, such as CC-BY-4.0")
    parser.add_argument("--source", required=True, metavar="TEXT", help="who publishes the model")
    parser.add_argument("--result", default="", metavar="TEXT", help="result of the model, with data and metric")
    parser.add_argument("--config", metavar="CONFIG", help="config of the model, needed if CHECKPOINT has none")
    add_safe_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    actions = {"list": _list, "download": _download, "info": _info, "publish": _publish}
    actions[args.action](args)
    return 0


def _list(args: argparse.Namespace) -> None:
    from rotated_atss.checkpoints.download import cache_folder, cached_path
    from rotated_atss.checkpoints.registry import load_registry

    entries = list(load_registry(args.registry).values())
    is_cached = {entry.name: cached_path(entry).is_file() for entry in entries}
    if args.json:
        print(json.dumps([{**asdict(entry), "downloaded": is_cached[entry.name]} for entry in entries], indent=1))
        return
    rows = [("name", "kind", "result", "MB", "license", "downloaded")]
    for entry in entries:
        size = "" if entry.size_mb is None else f"{entry.size_mb:.1f}"
        cached = "yes" if is_cached[entry.name] else ""
        rows.append((entry.name, entry.kind, entry.published, size, entry.license, cached))
    print(*fit_columns(rows, terminal_width(sys.stdout), numeric=False), sep="\n")
    print(f"downloads are kept in {cache_folder()}")


def _download(args: argparse.Namespace) -> None:
    from rotated_atss.checkpoints.download import fetch, is_usable
    from rotated_atss.checkpoints.registry import find_entry, load_registry

    entry = find_entry(args.name, load_registry(args.registry))
    print(f"{entry.name}: {entry.source}, license {entry.license}", flush=True)
    path = fetch(entry)
    if not is_usable(entry, path):  # The file must be converted, which imports MMDetection.
        from rotated_atss.cli.convert_checkpoint import print_conversion
        from rotated_atss.detection.engine.model_store import provide_model

        path, converted = provide_model(entry)
        if converted is not None:
            print_conversion(entry.file_name, converted)
    print(f"downloaded: {path}")
    usage = f"train CONFIG --init-from {entry.name}" if entry.kind == "backbone" else f"predict {path} IMAGE"
    print(f"use it: rotated-atss {usage}")


def _info(args: argparse.Namespace) -> None:
    from rotated_atss.checkpoints.model_file import read_model_info
    from rotated_atss.checkpoints.registry import load_registry, similar_names_hint

    if Path(args.model).is_file():
        info = read_model_info(args.model)
        if info is None:
            hint = "only files written by train, convert-checkpoint, export and models publish have metadata"
            raise UserError("the file has no model metadata", where=args.model, hint=hint)
        _print_info(args, info)
        return
    registry = load_registry(args.registry)
    if args.model not in registry:
        hint = f"{similar_names_hint(args.model, list(registry))}all names: rotated-atss models list"
        raise UserError("no such file, and no model of this name", where=args.model, hint=hint)
    if args.config:
        raise UserError("--config needs a model file", where=args.model, hint="rotated-atss models download NAME")
    _print_entry(args, registry[args.model])


def _print_info(args: argparse.Namespace, info: ModelInfo) -> None:
    from rotated_atss.checkpoints.model_text import describe_lines

    if args.config:
        if info.config is None:
            raise UserError("the model metadata has no config", where=args.model)
        print(info.config, end="")
    elif args.json:
        print(json.dumps({"file": args.model, "record": json.loads(info.to_json())}, indent=1, ensure_ascii=False))
    else:
        print(f"file: {args.model}")
        print("\n".join(describe_lines(info)))


def _print_entry(args: argparse.Namespace, entry: RegistryEntry) -> None:
    from rotated_atss.checkpoints.download import cached_path

    path = cached_path(entry)
    values: dict[str, Any] = {**asdict(entry), "downloaded": str(path) if path.is_file() else None}
    if args.json:
        print(json.dumps(values, indent=1, ensure_ascii=False))
        return
    captions = {"sha256_prefix": "SHA-256 starts with", "size_mb": "size in MB", "published": "result"}
    for name, value in values.items():
        if value:
            print(f"{captions.get(name, name)}: {value}")


def _publish(args: argparse.Namespace) -> None:
    from rotated_atss.checkpoints.model_info import read_info
    from rotated_atss.checkpoints.publish import publish
    from rotated_atss.checkpoints.read_file import read_content, state_dict_of
    from rotated_atss.cli._preflight import check_inputs_exist

    check_inputs_exist(args.config, args.checkpoint)
    content = read_content(args.checkpoint)
    info = read_info(content.get("meta"), args.checkpoint)
    if args.config is not None:
        from rotated_atss.detection.engine.recorded_config import describe_checkpoint

        info = describe_checkpoint(args.config, content, args.checkpoint)
    if info is None:
        hint = "give the config of the checkpoint: --config CONFIG"
        raise UserError("the checkpoint has no model metadata", where=args.checkpoint, hint=hint)
    path = publish(
        args.folder, args.name or info.config_name, state_dict_of(content), info, license=args.license,
        source=args.source, published=args.result,
    )  # fmt: skip
    print(f"wrote {path} and {path.with_name('models.json')}")
