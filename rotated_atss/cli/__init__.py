"""The command line: ``rotated-atss <command> ...``.

A command is a module of this folder with ``HELP`` (one line), ``add_arguments(parser)`` and ``run(args) -> int``. It is
imported only when it is asked for, so the list of commands is shown at once and also where torch is absent.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from rotated_atss import __version__
from rotated_atss.errors import UserError

PROGRAM = "rotated-atss"

# name -> the line shown in the list (the module's own HELP says the same or more)
COMMANDS = {
    "split": "cut raw DOTA images and labels into tiles",
    "train": "train a config on tiles",
    "test": "detect on tiles, merge into full images, evaluate, write the submission",
    "predict": "detect on images of any size: text and pictures",
    "draw": "labels and detections on images",
    "merge": "merge tile detections into full images",
    "evaluate": "average precision of merged detections",
    "convert-checkpoint": "weights of mmrotate, MMDetection or the official ATSS as ours",
    "assignment-stats": "which objects an assigner gives how many positives",
    "check-submission": "check a submission zip before it goes to the server",
    "bench": "measure beside the peers, in a checkout",
    "doctor": "what is installed, what is active, how to mend it",
    "demo": "the whole way on generated scenes",
}

# What a command may need and an installation may lack: told with the command that installs it, not with a traceback.
OPTIONAL = (
    *("numpy", "torch", "torchvision", "cv2", "shapely", "tqdm", "safetensors"),
    *("mmengine", "mmcv", "mmdet", "mmrotate", "tensorboard", "faster_coco_eval", "matplotlib"),
)

# What the machine refuses, and what to do about it.
MACHINE_ERRORS = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "check the permissions, or write elsewhere",
    errno.EPERM: "check the permissions, or write elsewhere",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (2 for a user's mistake, 130 when interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments and arguments[0] in COMMANDS else None
    label = f"{PROGRAM} {name}" if name else PROGRAM
    try:
        if name is None:
            return _overview(arguments)
        return _run(name, arguments[1:])
    except UserError as error:
        return _complain(label, str(error), 2)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OPTIONAL:
            raise
        from rotated_atss.doctor import install_command  # what it imports would slow down the start of every command

        return _complain(label, f"{missing} is not installed (run: {install_command(missing)})", 2)
    except KeyboardInterrupt:
        return _complain(label, "interrupted", 130)
    except BrokenPipeError:
        return _close_stdout()
    except OSError as error:
        if error.errno not in MACHINE_ERRORS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        return _complain(label, f"{place}{error.strerror} ({MACHINE_ERRORS[error.errno]})", 2)


def _run(name: str, arguments: list[str]) -> int:
    module = load(name)
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {name}", description=module.HELP)
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(arguments)) or 0)


def load(name: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def _overview(arguments: list[str]) -> int:
    """``--help``, ``--version``, nothing at all, or a command that does not exist."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Rotated ATSS for oriented objects in aerial images.",
        epilog=f"{PROGRAM} COMMAND --help tells more. Commands:\n\n"
        + "\n".join(f"  {name:<20}{line}" for name, line in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("command", metavar="COMMAND", nargs="?", choices=list(COMMANDS))
    parser.parse_args(arguments)
    parser.print_help()
    return 2


def _complain(label: str, line: str, code: int) -> int:
    print(f"{label}: error: {line}" if code == 2 else f"{label}: {line}", file=sys.stderr)
    return code


def _close_stdout() -> int:
    """The reader (``| head``) left: say nothing, also not when the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
