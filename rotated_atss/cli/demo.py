"""``rotated-atss demo``: the whole way on generated scenes, from images to a submission."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rotated_atss.errors import UserError

HELP = "Generate scenes, split them, train a small detector, test, merge, evaluate, zip a submission, draw pictures."

CONFIG = "rotated_atss_obb_r18_demo_le90"
TILE, GAP = 256, 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="demo_out", metavar="DIR", help="new folder, or one of an earlier demo")
    parser.add_argument("--train-scenes", type=int, default=60, metavar="N", help="scenes to learn from (default: 60)")
    parser.add_argument("--val-scenes", type=int, default=12, metavar="N", help="held-out scenes (default: 12)")
    parser.add_argument("--iterations", type=int, metavar="N", help="training steps (default: the config's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the scenes and the training")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.detection.engine.options import TestOptions, TrainOptions
    from rotated_atss.detection.engine.resume import latest_checkpoint
    from rotated_atss.detection.engine.runner import test, train

    if args.iterations is not None and args.iterations < 20:
        raise UserError(f"at least 20 iterations are needed, not {args.iterations}")
    out, clock = Path(args.out), _Clock()
    scenes, tiles = out / "scenes", out / "tiles"

    clock.start("scenes")
    _generate(scenes, args.train_scenes, args.val_scenes, args.seed)
    clock.start("split")
    for name in ("train", "val"):
        _split(scenes / name, tiles / name)
    clock.start("train")
    changes = {f"{loader}.dataset.data_root": str(tiles / name) for loader, name in _LOADERS.items()}
    folder = train(
        CONFIG, TrainOptions(work_dir=str(out / "work"), seed=args.seed, cfg_options={**changes, **_shorter(args)})
    )
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        raise UserError("training wrote no checkpoint", where=folder)
    clock.start("test, merge, evaluate, submission")
    metrics = test(
        CONFIG,
        checkpoint,
        TestOptions(
            work_dir=str(out / "work"),
            labels=[str(scenes / "val" / "labelTxt")],
            out=str(out / "merged"),
            submission=str(out / "submission.zip"),
            cfg_options=changes,
        ),
    )
    clock.start("pictures")
    pictures = draw_detections(scenes / "val", out / "merged", out / "pictures")
    clock.report()
    print(f"AP50 on {args.val_scenes} held-out scenes, merged to full images: {metrics['dota/AP50']:.3f}")
    print(f"per class: {out}/merged/ap.json   submission: {out}/submission.zip   pictures: {pictures[0].parent}/")
    return 0


_LOADERS = {"train_dataloader": "train", "test_dataloader": "val"}


def _generate(scenes: Path, train_count: int, val_count: int, seed: int) -> None:
    from rotated_atss.synthetic import generate_splits

    generate_splits(scenes, {"train": train_count, "val": val_count}, seed=seed)


def _split(source: Path, out: Path) -> None:
    from rotated_atss.tiling.split import split_dota

    split_dota(source / "images", source / "labelTxt", out, size=TILE, gap=GAP, overwrite=True)


def _shorter(args: argparse.Namespace) -> dict:
    """The config's schedule at another length."""
    if args.iterations is None:
        return {}
    return {
        "train_cfg.max_iters": args.iterations,
        "param_scheduler.0.total_steps": args.iterations,
        "default_hooks.checkpoint.interval": args.iterations,
    }


def draw_detections(
    source: Path, merged: Path, out: Path, *, score_threshold: float = 0.4, most: int = 12
) -> list[Path]:
    """Pictures of the merged detections on the images of a DOTA folder, and one sheet of them all."""
    from rotated_atss.dota.detections import list_task1_files, read_detections
    from rotated_atss.dota.folders import list_images
    from rotated_atss.io.images import read_image
    from rotated_atss.visualization.drawing import contact_sheet, draw_boxes, write_png

    found = {name: read_detections(path) for name, path in list_task1_files(merged).items()}
    written, drawn = [], []
    for path in list_images(source / "images")[:most]:
        polygons, names, scores = _of_image(found, path.stem)
        picture = draw_boxes(read_image(path), polygons, names, scores, score_threshold=score_threshold, legend=True)
        written.append(write_png(out / f"{path.stem}.png", picture, inputs=[source / "images"]))
        drawn.append(picture)
    if not drawn:
        raise UserError("no images to draw on", where=source)
    written.append(write_png(out / "sheet.png", contact_sheet(drawn[:4])))
    return written


def _of_image(found: dict, image: str) -> tuple:
    """All classes' polygons (N, 8), names and scores of one image."""
    import numpy as np

    polygons, names, scores = [np.empty((0, 8))], [], [np.empty(0)]
    for name, detections in found.items():
        rows = detections.image_ids == image
        polygons.append(detections.polygons[rows])
        scores.append(detections.scores[rows])
        names += [name] * int(rows.sum())
    return np.concatenate(polygons), names, np.concatenate(scores)


class _Clock:
    """Seconds of each stage, told at the end."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, float]] = []

    def start(self, stage: str) -> None:
        self.stages.append((stage, time.perf_counter()))
        print(f"== {stage}", flush=True)

    def report(self) -> None:
        ends = [begun for _, begun in self.stages[1:]] + [time.perf_counter()]
        print("; ".join(f"{stage} {end - begun:.0f} s" for (stage, begun), end in zip(self.stages, ends)))
