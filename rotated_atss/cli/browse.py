"""``rotated-atss browse``: draw the images and boxes that the network receives."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._classes_option import add_classes_argument
from rotated_atss.cli._config_options import add_cfg_options, parse_cfg_options
from rotated_atss.cli._preflight import check_inputs_exist
from rotated_atss.errors import UserError, count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rotated_atss.detection.engine.browse import InputBrowser, NetworkInput
    from rotated_atss.io.png import Image

HELP = (
    "Draw the images and boxes that the network receives: after the augmentation, resizing and padding of a config's "
    "own pipeline, with normalization undone. Ignored boxes are dashed."
)
SHEET = "contact_sheet.png"
SHEET_CELL_PX = 512  # width of an image on the contact sheet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="path or bare name of a config")
    parser.add_argument(
        "--data", metavar="DIR", help="folder of the data, as for train and test (default: the config's folder)"
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="dataset (default: train)")
    parser.add_argument("--number", type=int, default=8, metavar="N", help="number of images (default: 8)")
    parser.add_argument("--start", type=int, default=0, metavar="I", help="index of the first image (default: 0)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S",
        help="random seed; the augmentation of an image depends only on this seed and the image's index (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--side-by-side", action="store_true", help="also show the image before the pipeline, on the left"
    )
    parser.add_argument("--sheet", action="store_true", help=f"also write {SHEET}, which shows all pictures")
    parser.add_argument("--out", metavar="DIR", help="folder for the pictures (default: work_dirs/CONFIG/browse)")
    add_classes_argument(parser, "classes of your data", "those of the config")
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    check_inputs_exist(args.config)
    if args.data and not Path(args.data).exists():
        raise UserError("no such file or folder", where=args.data)
    for option, minimum in (("number", 1), ("start", 0), ("seed", 0)):
        if getattr(args, option) < minimum:
            raise UserError(f"--{option} must be at least {minimum}, got {getattr(args, option)}")
    from rotated_atss.detection.engine.browse import InputBrowser
    from rotated_atss.detection.engine.config import load_config
    from rotated_atss.io.files import reject_overlapping_output
    from rotated_atss.visualization.network_input import add_caption
    from rotated_atss.visualization.palettes import class_colors
    from rotated_atss.visualization.png_output import check_overwritable, write_png

    folder = Path(args.out or Path("work_dirs") / Path(args.config).stem / "browse")
    reject_overlapping_output(folder, [args.data] if args.data else [], may_contain_inputs=True)
    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    browser = InputBrowser(cfg, args.split, args.data, args.classes)
    if args.start >= len(browser):
        raise UserError(f"--start must be less than the number of images ({len(browser)}), got {args.start}")
    if args.sheet:
        check_overwritable(folder / SHEET)
    sheet_pictures: dict[str, Image] = {}  # title -> reduced picture
    colors = class_colors(browser.class_names)
    indices = range(args.start, min(args.start + args.number, len(browser)))
    for net_input in browser.load(indices, args.seed):
        picture = _draw_input(net_input, browser, colors, args.side_by_side)
        name = f"{net_input.index:05d}_{Path(net_input.name).stem}.png"
        write_png(folder / name, add_caption(picture, [net_input.name, *net_input.facts]), protect_foreign=True)
        print("\n".join(_describe_input(net_input, browser.class_names)))
        if args.sheet:
            boxes_text = net_input.facts[-1]  # such as "3 boxes"
            title = " | ".join([f"{net_input.index} {net_input.name}", f"flip {net_input.flip}", boxes_text])
            num_images = 2 if args.side_by_side else 1
            sheet_pictures[title] = _reduce(picture, num_images * SHEET_CELL_PX)
    if args.sheet:
        write_png(folder / SHEET, _draw_sheet(sheet_pictures), protect_foreign=True)
    total = f"of {count_of(len(browser), 'image')} in the {args.split} dataset"
    print(f"{count_of(len(indices), 'picture')} {total} written to {folder}")
    return 0


def _draw_input(net_input: NetworkInput, browser: InputBrowser, colors: Mapping, side_by_side: bool) -> Image:
    """Draw the input of the network; with ``side_by_side``, also draw the image as loaded, to the left of the input."""
    from rotated_atss.detection.engine.browse import convert_angle_version
    from rotated_atss.visualization.contact_sheet import contact_sheet
    from rotated_atss.visualization.network_input import draw_network_input

    class_names, angle_version = browser.class_names, browser.angle_version
    after = draw_network_input(
        net_input.image,
        convert_angle_version(net_input.boxes, angle_version),
        _names_of(net_input.labels, class_names),
        convert_angle_version(net_input.ignored_boxes, angle_version),
        _names_of(net_input.ignored_labels, class_names),
        image_wh=net_input.image_wh,
        colors=colors,
    )
    trace = net_input.trace  # the image and boxes as loaded; image is None if the pipeline loads no image
    if not side_by_side or trace.image is None:
        return after
    height, width = after.shape[:2]
    before = _draw_before(net_input, browser, colors, (width, height))
    size = f"{net_input.original_wh[0]} x {net_input.original_wh[1]} px"
    boxes_text = count_of(len(trace.boxes), "box")
    titles = [f"before the pipeline: {size}, {boxes_text}", "input of the network"]
    return contact_sheet([before, after], titles, columns=2, cell_wh=(width, height))


def _draw_before(net_input: NetworkInput, browser: InputBrowser, colors: Mapping, cell_wh: tuple[int, int]) -> Image:
    """Draw the image and boxes as loaded.

    The image is resized to fit a cell before the boxes are drawn. Resizing the picture would change the line width.
    """
    import cv2

    from rotated_atss.detection.engine.browse import convert_angle_version
    from rotated_atss.visualization.network_input import draw_network_input

    trace = net_input.trace  # the image and boxes as loaded, before the other steps of the pipeline
    image = trace.image
    assert image is not None
    factor = min(cell_wh[0] / image.shape[1], cell_wh[1] / image.shape[0])
    size = [max(1, round(side * factor)) for side in (image.shape[1], image.shape[0])]
    resized: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    boxes = convert_angle_version(trace.boxes, browser.angle_version).clone()
    boxes[:, :4] *= factor  # all values but the angle
    ignored = trace.ignored
    return draw_network_input(
        resized, boxes[~ignored], _names_of(trace.labels[~ignored], browser.class_names),
        boxes[ignored], _names_of(trace.labels[ignored], browser.class_names), colors=colors,
    )  # fmt: skip


def _reduce(picture: Image, width: int) -> Image:
    """Reduce a picture to ``width`` pixels, because a sheet of many full-size pictures would not fit in memory."""
    import cv2

    factor = min(1.0, width / picture.shape[1])
    size = [max(1, round(side * factor)) for side in (picture.shape[1], picture.shape[0])]
    reduced: Any = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return reduced


def _draw_sheet(pictures: Mapping[str, Image]) -> Image:
    """Arrange pictures with their titles in a grid whose cells fit the widest and the highest picture."""
    from rotated_atss.visualization.contact_sheet import contact_sheet

    height, width = (max(picture.shape[axis] for picture in pictures.values()) for axis in (0, 1))
    width = max(width, SHEET_CELL_PX)  # room for the title
    return contact_sheet(list(pictures.values()), list(pictures), cell_wh=(width, height))


def _describe_input(net_input: NetworkInput, class_names: Sequence[str]) -> list[str]:
    """Describe an input of the network in one line, followed by one line per reason why boxes were dropped."""
    dropped = net_input.trace.dropped
    lines = [f"{net_input.index} {net_input.name}: {', '.join(net_input.facts)}, {len(dropped)} dropped"]
    counts_by_reason: dict[str, Counter[str]] = {}  # reason -> number of dropped boxes by class name
    for box in dropped:
        counts_by_reason.setdefault(box.reason, Counter()).update(_names_of([box.label], class_names))
    for reason, counts in counts_by_reason.items():
        lines.append(f"  dropped {', '.join(f'{count} {name}' for name, count in counts.most_common())}: {reason}")
    return lines


def _names_of(labels: Iterable[Any], class_names: Sequence[str]) -> list[str]:
    """Return the class name of each label, or ``class N`` for a label N without a class name."""
    indices = map(int, labels)
    return [class_names[index] if index < len(class_names) else f"class {index}" for index in indices]
