"""What ``predict`` and ``draw`` share: a file or a folder of images in, pictures out, and failures that stop nothing
else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.io.png import Image


@dataclass(frozen=True)
class Layer:
    """Boxes of one kind on one picture."""

    polygons: Any  # (N, 8) array, pixels
    names: Sequence[str]
    scores: Any = None  # (N,) array; None for labels
    plain: bool = False  # white outlines beneath other layers, without captions


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """How boxes look."""
    pictures = parser.add_argument_group("pictures")
    pictures.add_argument(
        "--score", type=float, default=0.3, metavar="SCORE", help="leave lower detections out (default: 0.3)"
    )
    pictures.add_argument("--box-only", action="store_true", help="boxes without captions and legend")
    pictures.add_argument("--line-width", type=int, default=1, metavar="PX", help="of the boxes (default: 1)")
    pictures.add_argument("--beside", action="store_true", help="the original image to the left")


def check_picture_arguments(args: argparse.Namespace) -> None:
    """UserError where a value of :func:`add_picture_arguments` is out of its range."""
    if not 0 <= args.score <= 1:
        raise UserError(f"a score lies between 0 and 1, not at {args.score}", where="--score")
    if not 1 <= args.line_width <= 255:
        raise UserError(f"a line is 1 to 255 pixels wide, not {args.line_width}", where="--line-width")


def find_images(given: str | Path) -> list[Path]:
    """The image file that ``given`` is, or the image files of the folder, sorted.

    Raises:
        UserError: Neither is there, or the folder holds no image.
    """
    from rotated_atss.dota.folders import list_images

    path = Path(given)
    if path.is_dir():
        return list_images(path)
    if not path.is_file():
        raise UserError("no such image or folder", where=path)
    return [path]


def check_targets(targets: Iterable[str | Path], given: str | Path) -> None:
    """Refuse to write into an input folder (R15): the one given, or the one in which the image given lies.

    Args:
        targets: Folders that will be written into.
        given: The image or the folder of images.
    """
    from rotated_atss.io.files import check_output_apart

    for target in map(Path, targets):
        if target.exists() and not target.is_dir():
            raise UserError("not a folder", where=target, hint="choose another --out")
        if Path(given).is_dir():
            check_output_apart(target, [Path(given)])
        elif target.resolve() == Path(given).resolve().parent:
            raise UserError("would write into the folder of the image", where=target, hint="choose another --out")


def check_file(target: str | Path, given: str | Path) -> None:
    """Refuse to write a file over the image given, or into the folder given (R15)."""
    place, source = Path(target).resolve(), Path(given).resolve()
    if place == source or source in place.parents:
        raise UserError(f"would write into the input {given}", where=target, hint="choose another place")


def each_image(
    paths: Sequence[Path], work: Callable[[Path], None], label: str, progress: bool | None = None
) -> list[UserError]:
    """Call ``work`` on every path with a progress bar; one that fails is told and the others go on.

    Args:
        label: The command, as errors begin with it.
        progress: Show the bar; None shows it on a terminal.

    Returns:
        What failed.
    """
    failures = []
    from rotated_atss.io.progress import print_above_bar, progress_bar

    for path in progress_bar(paths, desc=label, unit="image", show=progress):
        try:
            work(path)
        except UserError as error:
            failures.append(error)
            print_above_bar(f"rotated-atss {label}: error: {error}")
    return failures


def write_picture(path: Path, image: Image, layers: Iterable[Layer], args: argparse.Namespace) -> None:
    """One picture of all layers, the last on top, as :func:`add_picture_arguments` has it; the input is not touched."""
    from rotated_atss.visualization.contact_sheet import side_by_side
    from rotated_atss.visualization.drawing import draw_boxes
    from rotated_atss.visualization.png_output import write_png

    picture = image
    for layer in layers:
        if layer.plain:
            colours = [(255, 255, 255)] * len(layer.names)
            picture = draw_boxes(picture, layer.polygons, colors=colours, thickness=args.line_width, box_only=True)
            continue
        picture = draw_boxes(
            picture, layer.polygons, layer.names, layer.scores, score_threshold=args.score,
            thickness=args.line_width, box_only=args.box_only, legend=not args.box_only,
        )  # fmt: skip
    write_png(path, side_by_side(image, picture) if args.beside else picture, protect_foreign=True)


def class_filter(spec: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """The classes of ``known`` that ``--classes`` chooses, all where it was not given.

    Args:
        spec: A DOTA version, or names with commas; a name may be written with hyphens for its spaces.

    Raises:
        UserError: A name that is not known.
    """
    from rotated_atss.dota.classes import CLASSES, unknown_class_hint

    if spec is None:
        return tuple(known)
    if spec in CLASSES:
        return tuple(name for name in CLASSES[spec] if name in known)
    by_text = {text: name for name in known for text in (name, one_word(name))}
    names = [name.strip() for name in spec.split(",") if name.strip()]
    for name in names:
        if name not in by_text:
            raise UserError(f"unknown class '{name}'", where="--classes", hint=unknown_class_hint(name, known))
    if not names:
        raise UserError("no class is named", where="--classes", hint="names with commas")
    return tuple(dict.fromkeys(by_text[name] for name in names))


def one_word(name: str) -> str:
    """A class name as DOTA's text files can hold it: ``traffic-light``."""
    return "-".join(name.replace("/", " ").split())
