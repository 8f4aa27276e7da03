"""Input images of ``predict`` and ``draw``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rotated_atss.errors import UserError, count_of, quote

if TYPE_CHECKING:
    from rotated_atss.io.pixel_options import PixelOptions


def find_images(source: str | Path) -> list[Path]:
    """List the images that an argument of the command line names.

    Args:
        source: An image file, or a folder of images.

    Returns:
        The file itself, or the image files of the folder in sorted order.

    Raises:
        UserError: ``source`` does not exist, the folder contains no image, or the name of an image has a space.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P1.png").touch()
        ...     [path.name for path in find_images(folder)]
        ['P1.png']
    """
    from rotated_atss.dota.folders import check_image_name, list_images

    path = Path(source)
    if path.is_dir():
        return list_images(path)
    if not path.is_file():
        raise UserError("no such image or folder", where=path)
    check_image_name(path.stem, path.parent)
    return [path]


def print_skipped_images(source: str | Path) -> None:
    """Print which files of a folder look like images but have a format that this package does not read.

    Args:
        source: A folder. An image file prints nothing.
    """
    from rotated_atss.dota.folders import note_skipped_images

    if Path(source).is_dir():
        for note in note_skipped_images(source):
            print(note)


def print_failures(num_failed: int, images: Sequence[object]) -> int:
    """Print how many images failed, if any, and return the exit code.

    Args:
        num_failed: Number of images that failed.
        images: All images.

    Example:
        >>> print_failures(0, [Path("a.png")])
        0
    """
    if num_failed:
        print(f"{num_failed} of {count_of(len(images), 'image')} failed")
    return 2 if num_failed else 0


def add_pixel_arguments(group: argparse._ActionsContainer) -> None:
    """Add ``--bits``, ``--scaling`` and ``--bands``."""
    group.add_argument(
        "--bits", type=int, metavar="N",
        help="number of bits that 16-bit images use; values are divided by 2^(N - 8) (default: determined from the "
        "pixel values of all images)",
    )  # fmt: skip
    group.add_argument(
        "--scaling", metavar="RULE",
        help="how pixel values of images that are not 8-bit are scaled to 0 to 255: none; percentile (2%% to 98%% of "
        "the values of all images); MIN,MAX such as --scaling=-5,40; or auto (--bits for unsigned 16-bit images, "
        "percentile for others) (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--bands", metavar="R,G,B",
        help="numbers, from 1, of the bands for red, green and blue, or of one band for gray (default: as recorded in "
        "the file, otherwise the first three)",
    )  # fmt: skip


def parse_pixel_options(args: argparse.Namespace, recorded: PixelOptions | None = None) -> PixelOptions:
    """Parse the options added by :func:`add_pixel_arguments`.

    Args:
        args: Parsed arguments. Options that the command does not have count as not given.
        recorded: Options recorded in a model file. They apply where an option is not given.

    Raises:
        UserError: A value is invalid, or ``--bits`` and ``--scaling`` contradict each other.

    Example:
        >>> parse_pixel_options(argparse.Namespace(bits=None, scaling="0,3000", bands="3,2,1"))
        PixelOptions(bits=None, scaling=(0.0, 3000.0), bands=(3, 2, 1))
    """
    from rotated_atss.io.pixel_options import AUTO, PixelOptions

    bits, scaling, bands = (getattr(args, name, None) for name in ("bits", "scaling", "bands"))
    if bits is not None and scaling not in (None, AUTO):
        what = f"--bits and --scaling cannot be combined, got --bits {bits} and --scaling {scaling}"
        raise UserError(what, hint="give one of them")
    options = PixelOptions() if recorded is None else recorded
    if bands is not None:
        options = replace(options, bands=_parse_numbers(bands, int, "--bands", "one or three integers of at least 1"))
    if bits is not None:
        return replace(options, bits=bits)  # bits take precedence over a recorded scaling
    if scaling is not None:
        rule: Any = scaling  # such as "percentile"
        if not scaling.isalpha():
            rule = _parse_numbers(scaling, float, "--scaling", "a rule, or MIN,MAX")
        # Recorded bits are removed, because they would take precedence over the rule.
        return replace(options, bits=None, scaling=rule)
    return options


Number = TypeVar("Number", int, float)


def _parse_numbers(text: str, number_type: Callable[[str], Number], option: str, expected: str) -> tuple[Number, ...]:
    """Parse comma-separated numbers; ``expected`` describes a valid value in the error message."""
    try:
        return tuple(number_type(number_text) for number_text in text.split(","))
    except ValueError:
        raise UserError(f"the value must be {expected}, got {quote(text)}", where=option) from None


def resolve_pixel_options(paths: Sequence[Path], options: PixelOptions) -> PixelOptions:
    """Determine one scaling for all images of a run, and print how images are converted.

    Args:
        paths: Image files.
        options: Options for the conversion. If they do not state ``bits`` or ``scaling`` in numbers, these numbers are
            determined from the pixel values.

    Returns:
        The options with the determined numbers. If no image needs such a number, the rule (such as ``auto``) remains.

    Example:
        >>> from rotated_atss.io.pixel_options import PixelOptions
        >>> resolve_pixel_options([], PixelOptions()).scaling
        'auto'
    """
    from rotated_atss.io.conversion import plan_conversion

    conversion = plan_conversion(paths, options)
    for note in conversion.notes:
        print(note)
    return conversion.options


def check_output_folders(folders: Iterable[str | Path], source: str | Path) -> None:
    """Refuse output folders that overlap the input folder.

    If the input is a single image, the folder of the image is refused, but its subfolders are accepted, because nothing
    is read from them.

    Args:
        folders: Folders to write to; they need not exist.
        source: The image file or folder of images that is read.

    Raises:
        UserError: An output folder overlaps the input, or its path is a file.
    """
    from rotated_atss.io.files import reject_overlapping_output

    source = Path(source)
    input_folder = source if source.is_dir() else source.resolve().parent
    for folder in map(Path, folders):
        if folder.exists() and not folder.is_dir():
            raise UserError("not a folder", where=folder, hint="choose another --out")
        if source.is_dir() or folder.resolve() == input_folder:
            reject_overlapping_output(folder, [input_folder])


def process_images(
    paths: Sequence[Path], process: Callable[[Path], None], command: str, progress: bool | None = None
) -> list[UserError]:
    """Process images one by one with a progress bar; if an image fails, print its error and continue.

    Args:
        paths: Image files.
        process: Function that is called with each path.
        command: Name of the command, for the progress bar and for error lines.
        progress: Whether to show the bar; None shows it on a terminal.

    Returns:
        The errors, in the order of the images.

    Example:
        >>> process_images([Path("a.png"), Path("b.png")], print, "draw", progress=False)
        a.png
        b.png
        []
    """
    from rotated_atss.io.progress import print_above_bar, progress_bar

    failures = []
    for path in progress_bar(paths, desc=command, unit="image", show=progress):
        try:
            process(path)
        except UserError as error:
            failures.append(error)
            print_above_bar(f"rotated-atss {command}: error: {error}")
    return failures
