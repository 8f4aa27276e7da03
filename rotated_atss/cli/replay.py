"""``rotated-atss replay``: repeat a training step whose loss or gradient was not finite."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rotated_atss.cli._device_option import add_device_argument
from rotated_atss.cli._preflight import check_inputs_exist
from rotated_atss.errors import count_of

if TYPE_CHECKING:
    from rotated_atss.detection.engine.replay import ImageResult, Replay

HELP = (
    "Repeat a training step whose loss or gradient was not finite, from the file nonfinite_iter_N.pth of train. "
    "Print the losses of the whole batch and of each image alone. The exit code is 0 if the repeated losses agree "
    "with the recorded losses, and if recorded gradients that are not finite occur again; otherwise it is 1. No code "
    "that the file may contain is executed."
)
_MAX_LISTED_WEIGHTS = 3  # number of weights that a line lists by name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="nonfinite_iter_N.pth of a work folder")
    parser.add_argument(
        "--config", metavar="CONFIG", help="path or bare name of the config (default: the recorded one)"
    )
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    check_inputs_exist(args.config)
    from rotated_atss.detection.engine.replay import replay

    result = replay(args.file, args.config, args.device)
    print("\n".join(format_replay(result)))
    return 0 if result.is_reproduced else 1


def format_replay(result: Replay) -> list[str]:
    """Format a repeated training step as lines of text.

    Args:
        result: The repeated step.
    """
    record = result.record
    lines = [f"iteration {record.iteration} of {record.config_name}, {count_of(len(record.images), 'image')}"]
    lines += [f"{'loss':<24}{'recorded':>14}{'repeated':>14}"]
    for loss_name in dict.fromkeys([*record.losses, *result.batch.losses]):
        recorded, repeated = (_loss_text(losses, loss_name) for losses in (record.losses, result.batch.losses))
        lines.append(f"{loss_name:<24}{recorded:>14}{repeated:>14}")
    lines += _gradient_lines("recorded", record.gradients)
    lines += _gradient_lines("repeated", result.batch.nonfinite_gradients)
    loss_names = list(result.batch.losses)
    lines.append("each image alone:")
    lines += [_image_line(image, loss_names) for image in result.images]
    if not result.batch.is_finite and all(image.is_valid for image in result.images):
        lines.append("each image alone has finite losses and gradients, but the whole batch does not")
    lines.append("the recorded step is " + ("reproduced" if result.is_reproduced else "not reproduced"))
    return lines


def _loss_text(losses: dict[str, float], loss_name: str) -> str:
    return f"{losses[loss_name]:.6g}" if loss_name in losses else "-"


def _gradient_lines(step: str, weight_names: list[str]) -> list[str]:
    """Return a line about the weights whose gradients are not finite; no line if there are none.

    Args:
        step: "recorded" or "repeated".
        weight_names: Names of the weights whose gradients are not finite.
    """
    if not weight_names:
        return []
    listed = ", ".join(weight_names[:_MAX_LISTED_WEIGHTS])
    more = ", ..." if len(weight_names) > _MAX_LISTED_WEIGHTS else ""
    return [f"gradients that are not finite, {step}: {count_of(len(weight_names), 'weight')} ({listed}{more})"]


def _image_line(image: ImageResult, loss_names: list[str]) -> str:
    losses = ", ".join(f"{name} {_loss_text(image.step.losses, name)}" for name in loss_names)
    boxes = count_of(image.num_boxes, "box")
    if image.num_invalid_boxes:
        boxes += f" ({image.num_invalid_boxes} without area or not finite)"
    mark = "" if image.is_valid else "  <- check this image"
    return f"  {image.name}: {boxes}, {losses}{mark}"
