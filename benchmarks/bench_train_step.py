"""One training step of the R50 le90 config by part, compared with the same network trained by mmrotate.

rotated-atss trains as configured (channels last, fused optimizer), in float32 and with ``--amp`` (bfloat16). The
baseline is onedl-mmrotate's RetinaNet R50 with one prior per location and its own ATSS assigner, in float32 unless
--baseline-amp: the same layers and losses. (Its own Rotated ATSS config needs CUDA for the IoU loss.)
The backward pass of the losses counts as backward. On CUDA every part ends with a synchronization, and the peak of
allocated memory is recorded. Loading is not part of the step; its cost in one worker is measured separately, on a PNG
tile of gradients and noise, which decodes like a real one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import harness, models
from benchmarks.baselines import first_line
from benchmarks.memory import peak_megabytes
from benchmarks.records import Record, Row, target
from benchmarks.timing import Stopwatch, alternate, summary, time_one

OPTIONS = dict(device="cpu", repeats=5, size=1024, batch=1, num_gt=100, baseline_repeats=3, baseline_amp=False)

PARTS = ("backbone and neck", "head", "assignment", "losses", "backward", "optimizer", "rest")
OWN_AMP, OWN_FLOAT32, BASELINE = "rotated-atss, --amp", "rotated-atss, float32", "mmrotate"


class Trainer:
    """A model on its batch, with the time of each part of a step."""

    def __init__(
        self, model: torch.nn.Module, box_type: Callable, assigner: tuple[Any, str], args: Any, amp: bool
    ) -> None:  # fmt: skip
        self.device, self.amp = args.device, amp
        self.model = model.to(args.device).train()
        self.batch = models.batch(args.batch, args.num_gt, args.size, box_type)
        self.optimizer = models.optimizer(self.model)
        self.watch = Stopwatch(harness.synchronizer(args.device))
        head = self.model.bbox_head
        self.watch.wrap(self.model, "extract_feat", "backbone and neck")
        self.watch.wrap(head, "forward", "head")
        self.watch.wrap(*assigner, "assignment")
        self.watch.wrap(head, "loss_by_feat", "losses")

    def step(self) -> dict[str, float]:
        """Run one step and return the seconds of each part, with their sum as ``step``."""
        self.watch.seconds.clear()
        with self.watch.part("rest"):
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.amp):
                data = self.model.data_preprocessor(self.batch, True)
                loss, _ = self.model.parse_losses(self.model(**data, mode="loss"))
            with self.watch.part("backward"):
                self.optimizer.backward(loss)
            with self.watch.part("optimizer"):
                self.optimizer.step()
                self.optimizer.zero_grad()
        return {**self.watch.seconds, "step": sum(self.watch.seconds.values())}


def own_trainer(args: argparse.Namespace, amp: bool) -> Trainer:
    """Build this package's trainer, after one unmeasured step."""
    model = models.build_own().to(memory_format=torch.channels_last)  # as the config's ChannelsLastHook does
    trainer = Trainer(model, lambda boxes: boxes, (model.bbox_head, "assign_batch"), args, amp)
    trainer.step()
    return trainer


def baseline_trainer(args: argparse.Namespace) -> tuple[Trainer | None, str]:
    """Build the baseline's trainer after one unmeasured step, or return None and the reason."""
    missing = models.baseline_missing(args.device)
    if missing:
        return None, missing
    from mmrotate.structures.bbox import RotatedBoxes

    model = models.build_baseline(args.size)
    trainer = Trainer(model, RotatedBoxes, (model.bbox_head.assigner, "assign"), args, args.baseline_amp)
    try:
        trainer.step()
    except (RuntimeError, NotImplementedError) as error:  # a kernel without support of this device or precision
        return None, f"the training step of mmrotate fails: {first_line(error)}"
    return trainer, ""


def summarize(name: str, steps: list[dict[str, float]]) -> Row:
    """Reduce steps to the median of each part and its median share of the step."""

    def share(*parts: str) -> float:
        return summary([sum(step[part] for part in parts) / step["step"] for step in steps])["median"]

    seconds = {part: summary([step[part] for step in steps]) for part in ("step", *PARTS)}
    return {
        "implementation": name, "seconds": seconds, "shares": {part: share(part) for part in PARTS},
        "assignment_and_losses": share("assignment", "losses"),
    }  # fmt: skip


def targets(rows: dict[str, Row], args: argparse.Namespace) -> list[Row]:
    cpu = args.device == "cpu"
    seconds = {name: row["seconds"]["step"]["median"] for name, row in rows.items()}
    speedup = seconds[BASELINE] / seconds[OWN_AMP] if BASELINE in seconds else None
    share = rows[OWN_AMP]["assignment_and_losses"]
    found = [
        target("training step with --amp: speedup over mmrotate", speedup, at_least=4 if cpu else 2),
        target("assignment and losses: share of a training step with --amp", share, at_most=0.05),
    ]
    if not cpu:
        found.append(target("training images per second", args.batch / seconds[OWN_AMP], at_least=120))
        found.append(memory_target(rows, args.baseline_amp))
    return found


def memory_target(rows: dict[str, Row], baseline_amp: bool) -> Row:
    """Compare the peak memory with that of the baseline in the same precision."""
    peak = rows[OWN_AMP if baseline_amp else OWN_FLOAT32]["peak_mb"]
    share = peak / rows[BASELINE]["peak_mb"] if BASELINE in rows else None
    return target("peak memory of a training step, share of mmrotate's", share, at_most=1)


def measure(args: argparse.Namespace) -> Record:
    torch.manual_seed(0)
    baseline, missing = baseline_trainer(args)
    trainers = {OWN_AMP: own_trainer(args, True), OWN_FLOAT32: own_trainer(args, False)}
    if baseline is not None:
        trainers[BASELINE] = baseline
    repeats = {OWN_AMP: args.repeats, OWN_FLOAT32: args.repeats, BASELINE: args.baseline_repeats}
    steps = alternate({name: trainer.step for name, trainer in trainers.items()}, repeats)
    rows = {name: summarize(name, steps[name]) for name in trainers}
    for name, each in trainers.items():
        rows[name]["peak_mb"] = peak_megabytes(each.step, args.device, each.model, each.optimizer.optimizer)
    load = models.loader(args.folder, args.size, args.num_gt)
    loading = time_one(load, max(10, args.repeats), warmup=2)
    settings = {key: getattr(args, key) for key in ("size", "batch", "num_gt", "baseline_amp")}
    return {
        "baseline_missing": missing, "settings": settings, "targets": targets(rows, args),
        "rows": list(rows.values()), "loading": loading,
    }  # fmt: skip
