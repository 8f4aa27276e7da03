"""Check command-line arguments before torch and MMDetection are imported, because these imports take seconds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rotated_atss.configs import find_config
from rotated_atss.errors import UserError, count_of


def check_inputs_exist(config: str | None = None, checkpoint: str | None = None) -> None:
    """Check that the config and the checkpoint exist, without reading them.

    Args:
        config: Path or bare name of a config; None if there is none to check.
        checkpoint: Path of a checkpoint file; None if there is none to check.

    Raises:
        UserError: The config or the checkpoint does not exist.

    Example:
        >>> check_inputs_exist(config="rotated_atss_obb_r50_fpn_1x_dota_le90")
    """
    if config is not None:
        find_config(config)
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise UserError("no such checkpoint", where=checkpoint)


def add_model_arguments(parser: argparse.ArgumentParser, forms: Sequence[str], more_help: str = "") -> None:
    """Add the positional arguments ``inputs``: the model, followed by the other positional arguments of the command.

    Args:
        parser: The parser.
        forms: The accepted sequences of positional arguments, one per usage line.
        more_help: Help for the arguments after the model, appended to the help for the model.

    Example:
        >>> parser = argparse.ArgumentParser("test")
        >>> add_model_arguments(parser, ["MODEL", "CONFIG CHECKPOINT"])
        >>> print(parser.format_usage(), end="")
        usage: test [options] MODEL
               test [options] CONFIG CHECKPOINT
    """
    parser.usage = "\n       ".join(f"{parser.prog} [options] {form}" for form in forms)
    parser.add_argument(
        "inputs", nargs="+", metavar=forms[0],
        help="MODEL: a .pth or .safetensors file that contains its config, as written by train and convert-checkpoint, "
        "or, for predict and test, an .onnx file written by export; CONFIG: path or bare name of a config, needed if "
        f"CHECKPOINT contains no config{more_help}",
    )  # fmt: skip


def split_model_arguments(inputs: Sequence[str], num_others: int = 0) -> tuple[str | None, str, list[str]]:
    """Split the positional arguments into config, checkpoint and others, and check that config and checkpoint exist.

    Args:
        inputs: Positional arguments.
        num_others: Number of arguments after the model.

    Returns:
        Config (None for a model file that contains it), checkpoint and the other arguments.

    Raises:
        UserError: There are too few or too many arguments, or the config or the checkpoint does not exist.

    Example:
        >>> split_model_arguments(["rotated_atss_obb_r50_fpn_1x_dota_le90", __file__, "image.png"], num_others=1)[2]
        ['image.png']
    """
    num_model_arguments = len(inputs) - num_others
    if num_model_arguments not in (1, 2):
        what = f"expected {1 + num_others} or {2 + num_others} arguments, got {count_of(len(inputs), 'argument')}"
        raise UserError(what, hint="give MODEL, or CONFIG CHECKPOINT; see --help")
    config, checkpoint = (None, inputs[0]) if num_model_arguments == 1 else (inputs[0], inputs[1])
    if config is None and not Path(checkpoint).is_file():  # possibly a CONFIG without its CHECKPOINT
        raise UserError("no such model file", where=checkpoint, hint="give MODEL, or CONFIG CHECKPOINT")
    check_inputs_exist(config, checkpoint)
    return config, checkpoint, list(inputs[num_model_arguments:])
