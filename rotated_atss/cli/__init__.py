"""The command line: ``rotated-atss COMMAND ...``.

Each command is a module of this package with ``HELP`` (one line), ``add_arguments(parser)`` and ``run(args) -> int``.
A module is imported only when its command runs, so that ``rotated-atss --help`` is fast and works without torch.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType, ModuleType
from typing import NoReturn

from rotated_atss import __version__
from rotated_atss.cli._device_option import enable_mps_fallback
from rotated_atss.cli._output_check import reject_argument_as_output
from rotated_atss.cli._system_errors import describe_system_error, format_advice
from rotated_atss.errors import UserError, printable
from rotated_atss.io.cpu_threads import follow_cpu_load, limit_blas_threads, set_wait_policy
from rotated_atss.io.signals import TerminatedError

PROGRAM = "rotated-atss"

# The line of each command in rotated-atss --help.
COMMANDS = {
    "check-data": "Report all problems of images and labels, write a cleaned copy.",
    "stats": "Describe a dataset, and recommend tiles and anchor scale for it.",
    "split": "Cut DOTA images and labels into tiles.",
    "convert-labels": "Convert labels between DOTA, YOLO-OBB, COCO, VOC, CVAT and more.",
    "browse": "Draw what the network sees: images and boxes after augmentation.",
    "train": "Train a config on tiles.",
    "test": "Detect on tiles, merge into full images, evaluate, write the submission.",
    "curves": "Plot losses, learning rate and validation results of training runs.",
    "replay": "Repeat a training step whose loss or gradient was not finite.",
    "predict": "Detect objects on images of any size, write text files and pictures.",
    "export": "Write a model as an ONNX file, in float32, float16 or int8.",
    "draw": "Draw labels and detections on images.",
    "merge": "Merge tile detections into full images.",
    "evaluate": "Compute the average precision of merged detections.",
    "report": "Write a report of detections: pages, tables, pictures of errors.",
    "list": "List the configs with published and measured accuracy.",
    "config": "Print a config with everything that it inherits.",
    "models": "List, download, inspect and publish models.",
    "convert-checkpoint": "Convert weights of mmrotate, MMDetection or the official ATSS.",
    "assignment-stats": "Count the positives that an assigner selects per ground-truth box.",
    "show-assignment": "Show which priors an assigner assigns to the objects of an image.",
    "check-submission": "Validate a submission for the DOTA server.",
    "doctor": "Check the installation and suggest fixes.",
    "completion": "Print a script with which bash, zsh or fish completes commands.",
    "demo": "Run the whole pipeline on synthetic scenes.",
}

# These commands use NumPy but not torch. They start faster with one BLAS thread.
WITHOUT_TORCH = ("check-data", "split", "convert-labels", "draw", "merge", "evaluate", "report", "check-submission")

# The modules whose name is not that of their command. Importing a module `list` would hide the built-in `list` in this
# file, because Python sets an imported submodule as an attribute of its package.
MODULES = {"list": "list_configs"}

# Import names of the dependencies. If one is missing, the error is one line with the install command, not a traceback.
DEPENDENCIES = (
    *("numpy", "torch", "torchvision", "cv2", "shapely", "tqdm", "safetensors"),
    *("mmengine", "mmcv", "mmdet", "mmrotate", "tensorboard", "faster_coco_eval", "matplotlib"),
    *("onnx", "onnxruntime", "openvino"),
)

_SIGNAL_NAMES = ("SIGTERM", "SIGHUP")  # strings, because `signal.SIGHUP` does not exist on Windows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: parse the arguments, run the command and print its error, if any, as one line.

    Args:
        argv: Command and options; None reads them from ``sys.argv``.

    Returns:
        Exit code. The command returns it, except in these cases: 2 after an error that is printed as one line, 130
        after an interrupt, 128 + n after signal n, and 0 if the reader of stdout (``| head``) has closed the pipe.

    Example:
        >>> main(["split", "--images", "no_such_folder", "--out", "tiles"])
        2
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "torch" not in sys.modules:  # a program that has imported torch chooses these settings itself
        set_wait_policy()
        enable_mps_fallback()
        follow_cpu_load()
    command = arguments[0] if arguments and arguments[0] in COMMANDS else None
    if command in WITHOUT_TORCH:
        limit_blas_threads()
    program = f"{PROGRAM} {command}" if command else PROGRAM  # error lines begin with it
    try:
        if command is None:
            return _print_overview(arguments)
        _reject_empty_arguments(arguments)
        args = parse_arguments(command, arguments[1:])
        if command != "report":  # its --json is an input
            reject_argument_as_output(args)
        with _raise_on_signals(), _safe_config_context(args):
            return int(load_command(command).run(args) or 0)
    except UserError as error:
        return _print_error(program, str(error), 2)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in DEPENDENCIES:
            raise
        from rotated_atss.doctor import install_command  # its imports would slow down the start of every command

        return _print_error(program, f"{package} is not installed (run: {install_command(package)})", 2)
    except KeyboardInterrupt as error:
        return _print_error(program, f"interrupted{format_advice(error)}", 130)
    except TerminatedError as error:
        return _print_error(program, f"{error}{format_advice(error)}", error.exit_code)
    except BrokenPipeError:
        return _discard_stdout()
    except (OSError, RuntimeError) as error:
        message = describe_system_error(error)
        if message is None:
            raise
        return _print_error(program, message, 2)


def run_program(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code: the entry point of programs.

    After an error in a run of several processes, the process group of torch is still open: closing it could wait for
    a process that has already ended. Python's normal exit would then sometimes abort in a communication thread, with
    exit code 134. With an open group, the process therefore ends at once, without Python's cleanup.

    Args:
        argv: Command and options; None reads them from ``sys.argv``.

    Raises:
        SystemExit: Always, if no process group is open.

    Example:
        >>> run_program(["split", "--images", "no_such_folder", "--out", "tiles"])
        Traceback (most recent call last):
        SystemExit: 2
    """
    exit_code = main(argv)
    distributed = sys.modules.get("torch.distributed")  # not imported here, because many commands do not need torch
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        logging.shutdown()  # writes what the log files still miss
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


@contextmanager
def _raise_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that temporary files are removed.

    Signals that already have a handler or are ignored (``nohup``) are left alone. Under torchrun (``LOCAL_RANK`` is
    set), all signals are left alone, because the cleanup after an exception could block in a collective operation that
    the other ranks never join.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    if "LOCAL_RANK" in os.environ or not is_main_thread:  # Python sets handlers in the main thread only
        yield
        return
    signals = [getattr(signal, name) for name in _SIGNAL_NAMES if hasattr(signal, name)]
    signals = [number for number in signals if signal.getsignal(number) is signal.SIG_DFL]
    main_pid = os.getpid()

    def handle(signal_number: int, frame: FrameType | None) -> None:
        for number in signals:  # a second signal ends the process at once
            signal.signal(number, signal.SIG_DFL)
        if os.getpid() != main_pid:  # a forked worker, which has nothing to clean up
            os.kill(os.getpid(), signal_number)
            return
        raise TerminatedError(signal.Signals(signal_number))

    for number in signals:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)


class _Parser(argparse.ArgumentParser):
    """A parser that suggests similar options if an option is unknown. Its messages contain no control characters."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments"):
            similar_options = self._find_similar_options(message)
            if similar_options:
                message = f"{message} (nearest: {', '.join(similar_options)})"
        super().error(printable(message))

    def _find_similar_options(self, message: str) -> list[str]:
        """Return, for each unknown option in an error message, the most similar option of this parser, if any."""
        from difflib import get_close_matches  # needed for errors only

        options = [option for action in self._actions for option in action.option_strings]
        unknown = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        return [option for word in unknown for option in get_close_matches(word, options, n=1, cutoff=0.7)]


def _reject_empty_arguments(arguments: Sequence[str]) -> None:
    """Refuse empty arguments, because an empty path would mean the working directory."""
    for previous, argument in zip(arguments, arguments[1:]):  # the first argument is the command
        if not argument:
            option = previous if previous.startswith("-") else None
            raise UserError("an argument is empty", where=option, hint="a shell variable may be unset")


def _safe_config_context(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Return the context in which to run a command. With ``--safe-config``, configs are read without being executed."""
    if not getattr(args, "safe_config", False):
        return nullcontext()
    from rotated_atss.io.safe_config import require_safe_configs

    return require_safe_configs()


def load_command(name: str) -> ModuleType:
    """Import the module of a command.

    Args:
        name: A key of ``COMMANDS``.

    Example:
        >>> load_command("check-submission").__name__
        'rotated_atss.cli.check_submission'
    """
    return importlib.import_module(f"{__name__}.{MODULES.get(name, name.replace('-', '_'))}")


def build_parser(name: str) -> argparse.ArgumentParser:
    """Build the argument parser of a command.

    Args:
        name: A key of ``COMMANDS``.

    Example:
        >>> build_parser("draw").parse_args(["--images", "a.png", "--out", "pictures"]).score
        0.3
    """
    module = load_command(name)
    parser = _Parser(prog=f"{PROGRAM} {name}", description=module.HELP)
    module.add_arguments(parser)
    return parser


def parse_arguments(name: str, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of a command.

    Commands whose module defines ``MODEL_FORMS`` have the positional arguments ``MODEL`` or ``CONFIG CHECKPOINT``,
    followed by input paths. Options may appear between them. All positional arguments are parsed into ``inputs``; the
    command separates the model from the input paths.

    Args:
        name: A key of ``COMMANDS``.
        arguments: Arguments of the command.

    Example:
        >>> parse_arguments("predict", ["model.pth", "--out", "a", "image.png"]).inputs
        ['model.pth', 'image.png']
    """
    parser = build_parser(name)
    parse = parser.parse_intermixed_args if hasattr(load_command(name), "MODEL_FORMS") else parser.parse_args
    return parse(arguments)


def _print_overview(arguments: list[str]) -> int:
    """Handle ``--help``, ``--version``, an empty command line and an unknown command."""
    parser = _Parser(
        prog=PROGRAM,
        description="Rotated ATSS: oriented object detection in aerial images.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<20}{line}" for name, line in COMMANDS.items())
        + f"\n\nRun {PROGRAM} COMMAND --help for the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("command", metavar="COMMAND", nargs="?", choices=list(COMMANDS), help="command to run")
    parser.parse_args(arguments)  # exits, unless the command line is empty
    parser.print_help()
    return 2


def _print_error(program: str, message: str, code: int) -> int:
    """Print a message to stderr, and return ``code``. Code 2 adds the word "error"; signals have other codes."""
    print(f"{program}: error: {message}" if code == 2 else f"{program}: {message}", file=sys.stderr)
    return code


def _discard_stdout() -> int:
    """Redirect stdout to the null device after the reader of a pipe (``| head``) has closed it.

    Otherwise the interpreter reports another broken pipe when it flushes stdout at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
