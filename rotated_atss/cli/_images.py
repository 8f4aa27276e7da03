"""Input images of ``predict`` and ``draw``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rotated_atss.errors import UserError, count_of


def find_images(source: str | Path) -> list[Path]:
    """List the images of a file or folder argument.

    Args:
        source: An image file, or a folder.

    Returns:
        The file itself, or the image files of the folder in sorted order.

    Raises:
        UserError: ``source`` does not exist, or the folder contains no image.

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
    """Print which files of a folder look like images but are not read; nothing for a single image.

    Args:
        source: An image file, or a folder.
    """
    from rotated_atss.dota.folders import note_skipped_images

    for note in note_skipped_images(source) if Path(source).is_dir() else ():
        print(note)


def print_failures(failed: int, images: Sequence[object]) -> int:
    """Print how many images failed and return the exit code.

    Args:
        failed: Number of images that failed.
        images: All images.

    Example:
        >>> print_failures(0, [Path("a.png")])
        0
    """
    if failed:
        print(f"{failed} of {count_of(len(images), 'image')} failed")
    return 2 if failed else 0


def add_bits_argument(group: argparse._ActionsContainer) -> None:
    """Add ``--bits``."""
    group.add_argument(
        "--bits", type=int, metavar="N",
        help="number of bits that 16-bit images use; values are divided by 2^(N - 8) (default: determined from the "
        "pixel values of all images)",
    )  # fmt: skip


def resolve_bits(paths: Sequence[Path], bits: int | None) -> int | None:
    """Find one scaling for the 16-bit images of a run, and print how images are converted.

    Args:
        paths: Image files.
        bits: The value of ``--bits``.

    Returns:
        Used bits of the 16-bit images; None if there are none.

    Example:
        >>> resolve_bits([], None) is None
        True
    """
    from rotated_atss.io.conversion import plan_conversion

    conversion = plan_conversion(paths, bits)
    for note in conversion.notes:
        print(note)
    return conversion.bits


def check_output_folders(folders: Iterable[str | Path], source: str | Path) -> None:
    """Refuse output folders that overlap the input folder.

    If the input is a single image, only its folder is refused; subfolders of it are accepted.

    Args:
        folders: Folders to write to; they need not exist.
        source: The image file or folder of images that is read.

    Raises:
        UserError: An output folder overlaps the input, or its path is a file.
    """
    from rotated_atss.io.files import check_output_apart

    source = Path(source)
    input_folder = source if source.is_dir() else source.resolve().parent
    for folder in map(Path, folders):
        if folder.exists() and not folder.is_dir():
            raise UserError("not a folder", where=folder, hint="choose another --out")
        if source.is_dir() or folder.resolve() == input_folder:
            check_output_apart(folder, [input_folder])


def process_images(
    paths: Sequence[Path], process: Callable[[Path], None], command: str, progress: bool | None = None
) -> list[UserError]:
    """Process images one by one with a progress bar; report an error and continue with the next image.

    Args:
        paths: Image files.
        process: Called with each path.
        command: Name of the command, the prefix of error lines.
        progress: Show the bar; None shows it on a terminal.

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
