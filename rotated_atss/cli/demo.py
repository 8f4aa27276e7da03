"""``rotated-atss demo``: run the whole pipeline on synthetic scenes, from images to a submission."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rotated_atss.cli._device_option import add_device_argument
from rotated_atss.cli._pictures import picture_path
from rotated_atss.errors import UserError
from rotated_atss.io.files import write_json
from rotated_atss.io.signals import TerminatedError

HELP = (
    "Run the whole pipeline on synthetic scenes: generate and split scenes, train a small detector, test, merge, "
    "evaluate, write a submission, draw pictures."
)

RECORD_FILE = "demo.json"  # written to the output folder first, to mark it as the output of a demo
WRITTEN_BY = "rotated-atss demo"
CONFIG = "rotated_atss_obb_r18_demo_le90"
SPLIT_SETTINGS: dict[str, Any] = dict(sizes=[256], gaps=[64])  # pixels
MIN_ITERATIONS = 20  # OneCycleLR warms up for a tenth of the iterations, and fails if this is only one iteration
MAX_PICTURES = 12
MIN_SCORE = 0.4  # detections with lower scores are not drawn
MAX_LOG_INTERVAL = 50  # iterations, as in the config
SCENES_BY_LOADER = {"train_dataloader": "train", "test_dataloader": "val"}  # config key -> folder of scenes and tiles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="demo_out", metavar="DIR",
        help="output folder; must be new, empty or contain an earlier demo, which is replaced (default: demo_out)",
    )  # fmt: skip
    parser.add_argument(
        "--train-scenes", type=int, default=60, metavar="N", help="number of training scenes (default: 60)"
    )
    parser.add_argument(
        "--val-scenes", type=int, default=12, metavar="N", help="number of validation scenes (default: 12)"
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="training iterations (default: the config's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of scenes and training (default: 0)")
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    import rotated_atss.detection.engine.runner  # noqa: F401  # fails for a missing package before the scenes are rendered
    from rotated_atss.synthetic import generate_splits
    from rotated_atss.tiling.split import split_dota
    from rotated_atss.tiling.split_settings import SplitSettings

    if args.iterations is not None and args.iterations < MIN_ITERATIONS:
        what = f"the demo needs at least {MIN_ITERATIONS} iterations, got {args.iterations}"
        raise UserError(what, where="--iterations")
    out, timer = Path(args.out), _StageTimer()
    scenes, tiles = out / "scenes", out / "tiles"
    _claim_folder(out)

    timer.start("scenes")
    generate_splits(scenes, {"train": args.train_scenes, "val": args.val_scenes}, seed=args.seed)
    timer.start("split")
    for name in ("train", "val"):
        source, settings = scenes / name, SplitSettings(**SPLIT_SETTINGS)
        split_dota(source / "images", source / "labelTxt", tiles / name, settings, overwrite=True)
    timer.start("train")
    data_roots = {f"{loader}.dataset.data_root": str(tiles / name) for loader, name in SCENES_BY_LOADER.items()}
    checkpoint = _train(args, data_roots)
    timer.start("test, merge, evaluate, submission, report")
    metrics = _test(args, checkpoint, data_roots)
    timer.start("pictures")
    _draw_detections(scenes / "val", out / "merged", out / "pictures")
    timer.report()
    print(f"AP50 on {args.val_scenes} validation scenes, merged into full images: {metrics['dota/AP50']:.3f}")
    print(f"report: {out}/report/index.html   submission: {out}/submission.zip   pictures: {out}/pictures/")
    return 0


def _claim_folder(out: Path) -> None:
    """Mark the output folder as the output of a demo. A later demo may then replace its files.

    Raises:
        UserError: The path is a file, or a folder that has files but not the mark of an earlier demo. In both cases,
            nothing is written.
    """
    hint = "choose a new or empty folder: --out DIR"
    if out.exists() and not out.is_dir():
        raise UserError("the output is not a folder", where=out, hint=hint)
    if out.exists() and any(out.iterdir()) and not _is_demo_folder(out):
        raise UserError("the output folder is not empty and contains no earlier demo", where=out, hint=hint)
    write_json(out / RECORD_FILE, {"written_by": WRITTEN_BY})


def _is_demo_folder(folder: Path) -> bool:
    try:
        record = json.loads((folder / RECORD_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("written_by") == WRITTEN_BY


def _train(args: argparse.Namespace, data_roots: Mapping[str, str]) -> Path:
    """Train a detector, and return the path of its last checkpoint."""
    from rotated_atss.detection.engine.options import TrainOptions
    from rotated_atss.detection.engine.resume import latest_checkpoint
    from rotated_atss.detection.engine.runner import train

    options = TrainOptions(
        work_dir=str(Path(args.out, "work")),
        overwrite=True,
        device=args.device,
        seed=args.seed,
        cfg_options={**data_roots, **_schedule_options(args)},
    )
    try:
        folder = train(CONFIG, options)
    except TerminatedError as error:  # Its note advises --resume, which is not an option of demo.
        raise TerminatedError(error.signal, "run the demo again; it starts at the beginning") from error
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        raise UserError("training wrote no checkpoint", where=folder)
    return checkpoint


def _test(args: argparse.Namespace, checkpoint: Path, data_roots: Mapping[str, str]) -> dict[str, float]:
    """Test the checkpoint on the validation scenes, and return the metrics."""
    from rotated_atss.detection.engine.options import TestOptions
    from rotated_atss.detection.engine.runner import test

    out = Path(args.out)
    options = TestOptions(
        work_dir=str(out / "work"),
        device=args.device,
        labels=[str(out / "scenes" / "val" / "labelTxt")],
        out=str(out / "merged"),
        submission=str(out / "submission.zip"),
        report=str(out / "report"),
        cfg_options=dict(data_roots),
    )
    return test(CONFIG, checkpoint, options)


def _schedule_options(args: argparse.Namespace) -> dict[str, int]:
    """Return the config values for ``--iterations``. A short run logs more often, to log at least ten times."""
    if args.iterations is None:
        return {}
    return {
        "train_cfg.max_iters": args.iterations,
        "param_scheduler.0.total_steps": args.iterations,
        "default_hooks.checkpoint.interval": args.iterations,
        "default_hooks.logger.interval": min(args.iterations // 10, MAX_LOG_INTERVAL),
    }


def _draw_detections(source: Path, merged: Path, out: Path) -> None:
    """Draw merged detections on the images of a DOTA folder, and combine the first four on a contact sheet."""
    from rotated_atss.cli._layer_sources import read_task1_detections
    from rotated_atss.dota.folders import list_images
    from rotated_atss.io.images import read_image
    from rotated_atss.visualization.contact_sheet import contact_sheet
    from rotated_atss.visualization.drawing import draw_boxes
    from rotated_atss.visualization.palettes import class_styles
    from rotated_atss.visualization.png_output import write_png

    images = list_images(source / "images")
    detections = read_task1_detections(merged, images)
    styles = class_styles(detections.classes)
    style_options: dict[str, Any] = dict(
        colors={name: style.color for name, style in styles.items()},
        dashed={name for name, style in styles.items() if style.dashed},
    )
    pictures = []
    for path in images[:MAX_PICTURES]:
        layer = detections.get_layer(path)
        picture = draw_boxes(
            read_image(path),
            layer.polygons,
            layer.names,
            layer.scores,
            score_threshold=MIN_SCORE,
            legend=True,
            **style_options,
        )
        write_png(picture_path(out, path), picture, inputs=[source / "images"])
        pictures.append(picture)
    write_png(out / "sheet.png", contact_sheet(pictures[:4]))


class _StageTimer:
    """Wall time per stage, printed as a summary."""

    def __init__(self) -> None:
        self._starts: list[tuple[str, float]] = []

    def start(self, stage: str) -> None:
        self._starts.append((stage, time.perf_counter()))
        print(f"== {stage}", flush=True)

    def report(self) -> None:
        ends = [start for _, start in self._starts[1:]] + [time.perf_counter()]
        print("; ".join(f"{stage} {end - start:.0f} s" for (stage, start), end in zip(self._starts, ends)))
