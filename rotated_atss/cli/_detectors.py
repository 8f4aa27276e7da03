"""Load detectors from checkpoints and ONNX files, for ``predict`` and ``test``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._framework_import import import_framework
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.detection.engine.inference import LoadedDetector
    from rotated_atss.runtime import GraphDetector


def is_onnx(path: str | Path) -> bool:
    """Return whether a model file is an exported graph, which has the suffix ``.onnx``.

    Example:
        >>> is_onnx("model.onnx"), is_onnx("epoch_12.pth")
        (True, False)
    """
    return Path(path).suffix.lower() == ".onnx"


def check_onnx_options(config: str | None, options: Mapping[str, object]) -> None:
    """Check that the command line of an exported graph has no config, and no option that does not apply to graphs.

    Args:
        config: The config on the command line; None without one.
        options: The values of the options that do not apply. An option that is not given has the value None or False,
            or an empty value.

    Raises:
        UserError: A config or one of the options is given.

    Example:
        >>> check_onnx_options(None, {"--amp": False})
    """
    if config is not None:
        raise UserError("an ONNX file needs no config, because it contains one", where=config, hint="omit the config")
    for option, value in options.items():
        if value:
            raise UserError("this option does not apply to an ONNX file", where=option, hint="omit it")


def load_any_detector(
    config: str | None, checkpoint: str, args: argparse.Namespace, cfg_options: Mapping[str, Any]
) -> LoadedDetector | GraphDetector:
    """Load the detector of a model file.

    With ``--fast``, the fastest runtime and number format on this machine are selected and printed.

    Args:
        config: Path or name of a config; None for a model file that contains it.
        checkpoint: The model file.
        args: Parsed arguments, of which ``device``, ``amp``, ``channels_last`` and ``fast`` are used.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: The model cannot be loaded, or an option does not apply to it.
    """
    if is_onnx(checkpoint):
        options = {"--amp": args.amp, "--channels-last": args.channels_last, "--cfg-options": cfg_options}
        check_onnx_options(config, options)
        from rotated_atss.runtime import load_detector as load_graph
        from rotated_atss.runtime.detector import FASTEST

        graph = load_graph(checkpoint, runtime=FASTEST if args.fast else "onnxruntime", device=args.device)
        if args.fast:
            print(f"fastest runtime here: {graph.description}")
        return graph
    import_framework()
    from rotated_atss.detection.engine.device import resolve_device
    from rotated_atss.detection.engine.inference import load_detector
    from rotated_atss.detection.engine.network import has_fast_bfloat16

    amp = args.amp
    channels_last = args.channels_last or None  # without the option, the config decides
    if args.fast:
        device_type = resolve_device(args.device).type
        amp = amp or has_fast_bfloat16(device_type)
        channels_last = True
        hint = "; an exported ONNX file is faster on a CPU" if args.device in (None, "cpu") else ""
        print(f"fastest here: torch, {'bfloat16' if amp else 'float32'}, channels last{hint}")
    model_arguments = (checkpoint,) if config is None else (config, checkpoint)
    return load_detector(
        *model_arguments, device=args.device, amp=amp, channels_last=channels_last, cfg_options=cfg_options
    )
