"""Refuse output files that are also inputs of the same command."""

from __future__ import annotations

import argparse
import os

# Names of the arguments with output files. In commands in which one of them is a folder or a switch, it is not checked.
_OUTPUTS = ("json", "onnx", "out", "submission", "torch_export")


def reject_argument_as_output(args: argparse.Namespace) -> None:
    """Refuse to replace a file that is another argument of the command, such as the model or a list of classes.

    Args:
        args: Arguments of a command that writes files.

    Raises:
        UserError: An output file is also another argument.

    Example:
        >>> reject_argument_as_output(argparse.Namespace(inputs=["model.pth"], json="results.json"))
    """
    for name in _OUTPUTS:
        output = getattr(args, name, None)
        if not isinstance(output, str) or not os.path.isfile(output):
            continue
        others = [value for other, value in vars(args).items() if other not in _OUTPUTS]
        texts = [text for value in others for text in (value if isinstance(value, list) else [value])]
        inputs = [text for text in texts if isinstance(text, str) and os.path.isfile(text)]
        from rotated_atss.io.files import reject_overlapping_output  # needed only if an output file exists

        reject_overlapping_output(output, inputs, hint=f"choose another --{name.replace('_', '-')}")
