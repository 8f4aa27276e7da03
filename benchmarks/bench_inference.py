"""Inference of the R50 le90 config by part, compared with the same network run by mmrotate.

A test step: normalization, network, decoding, NMS. rotated-atss runs as configured (channels last), in float32 and with
--amp (bfloat16). The baseline is onedl-mmrotate's RetinaNet R50 with one prior per location, the same layers and
weights, in float32 and with --baseline-amp in bfloat16 too; its outputs are cast to float32 because mmcv's NMS does not
accept bfloat16. The network is untrained; its last layers are scaled so that --candidates pairs per image exceed the
score threshold. The whole step is timed with one synchronization at its end, the parts in separate runs with one each.

Post-processing alone is measured on the outputs of the network and on those of crowded scenes with 2,000 candidates per
image.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from benchmarks import harness, head_outputs, models
from benchmarks.baselines import first_line
from benchmarks.memory import peak_megabytes
from benchmarks.records import Record, Row, target
from benchmarks.timing import Stopwatch, alternate, seconds_of, summary, time_pair

OPTIONS = dict(
    device="cpu", repeats=5, size=1024, batch=[1, 2], candidates=1500, scene_candidates=2000, baseline_repeats=3,
    baseline_amp=False,
)  # fmt: skip

PARTS = ("backbone and neck", "head", "post-processing", "rest")
OWN_AMP, OWN_FLOAT32 = "rotated-atss, --amp", "rotated-atss, float32"
BASELINE_AMP, BASELINE_FLOAT32 = "mmrotate, bfloat16", "mmrotate, float32"
SCENE_BATCHES = (1, 8)
PART_RUNS = 2  # runs of each implementation that are timed by part

Batch = dict[str, list]


class Detector:
    """A model in evaluation mode, with the time of each part of a test step.

    ``amp`` runs the network in bfloat16, ``upcast`` casts the outputs of the head to float32.
    """

    def __init__(self, model: torch.nn.Module, device: str, amp: bool, upcast: bool = False) -> None:
        self.model, self.device, self.amp = model, device, amp
        self.watch = Stopwatch()
        if upcast:
            forward = model.bbox_head.forward
            model.bbox_head.forward = lambda features: tuple(
                [level.float() for level in levels] for levels in forward(features)
            )
        self.watch.wrap(model, "extract_feat", PARTS[0])
        self.watch.wrap(model.bbox_head, "forward", PARTS[1])
        self.watch.wrap(model.bbox_head, "predict_by_feat", PARTS[2])

    def detect(self, batch: Batch) -> list:
        """Run a test step."""
        with torch.no_grad(), torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.amp):
            return self.model.test_step(batch)

    def seconds(self, batch: Batch) -> float:
        """Time a test step with one synchronization at its end."""
        self.watch.sync = None
        return seconds_of(lambda: self.detect(batch), harness.synchronizer(self.device))

    def shares(self, batch: Batch) -> dict[str, float]:
        """Return the share of each part, with a synchronization after each."""
        self.watch.sync = harness.synchronizer(self.device)
        self.watch.seconds.clear()
        with self.watch.part("rest"):
            self.detect(batch)
        step = sum(self.watch.seconds.values())
        return {part: self.watch.seconds[part] / step for part in PARTS}

    def counts(self, batch: Batch) -> dict[str, int]:
        """Count the pairs above the score threshold and the detections of all images."""
        outputs: list[Any] = []
        hook = self.model.bbox_head.register_forward_hook(lambda head, inputs, given: outputs.append(given))
        results = self.detect(batch)
        hook.remove()
        candidates = count_candidates(self.model.bbox_head, outputs[0])
        return {"candidates": candidates, "detections": sum(len(each.pred_instances.scores) for each in results)}


def count_candidates(head: Any, outputs: head_outputs.Outputs) -> int:
    """Count the (prior, class) pairs above the score threshold."""
    return sum(int((level.float().sigmoid() > head.test_cfg.score_thr).sum()) for level in outputs[0])


def own_model(args: argparse.Namespace) -> torch.nn.Module:
    """Build the untrained model with scaled outputs, in channels-last layout."""
    torch.manual_seed(0)
    model = models.build_own().eval().to(args.device)
    head_outputs.scale_outputs(model, models.batch(1, 0, args.size), args.candidates)
    return model.to(memory_format=torch.channels_last)


def baseline_detectors(own: torch.nn.Module, args: argparse.Namespace) -> tuple[dict[str, Detector], str]:
    """Build the baselines that run, and return the reason where one does not."""
    missing = models.baseline_missing(args.device)
    if missing:
        return {}, missing
    detectors: dict[str, Detector] = {}
    for name in (BASELINE_FLOAT32, *([BASELINE_AMP] if args.baseline_amp else [])):
        model = models.build_baseline(args.size).eval().to(args.device)
        head_outputs.copy_weights(own, model)
        detector = Detector(model, args.device, name == BASELINE_AMP, upcast=name == BASELINE_AMP)
        try:
            detector.detect(models.batch(1, 0, args.size))
        except (RuntimeError, NotImplementedError) as error:  # a kernel without support of this device or precision
            return detectors, f"inference of {name} fails: {first_line(error)}"
        detectors[name] = detector
    return detectors, ""


def inference_rows(detectors: dict[str, Detector], images: int, args: argparse.Namespace) -> list[Row]:
    """Measure all implementations in alternating runs, after one unmeasured run of each."""
    batch = models.batch(images, 0, args.size)
    counts = {name: detector.counts(batch) for name, detector in detectors.items()}
    repeats = {name: args.repeats if name in (OWN_AMP, OWN_FLOAT32) else args.baseline_repeats for name in detectors}
    seconds = alternate({name: partial(each.seconds, batch) for name, each in detectors.items()}, repeats)
    part_runs = {name: min(PART_RUNS, number) for name, number in repeats.items()}
    shares = alternate({name: partial(each.shares, batch) for name, each in detectors.items()}, part_runs)
    rows = []
    for name, detector in detectors.items():
        times = summary(seconds[name])
        rows.append({
            "implementation": name, "batch": images, "seconds": times,
            "images_per_second": round(images / times["median"], 4),
            "shares": {part: summary([each[part] for each in shares[name]])["median"] for part in PARTS},
            **counts[name],
            "peak_mb": peak_megabytes(partial(detector.detect, batch), args.device, detector.model),
        })  # fmt: skip
    return rows


def raw_outputs(model: torch.nn.Module, args: argparse.Namespace) -> Iterator[tuple[str, head_outputs.Outputs]]:
    """Yield the inputs of post-processing, each with its source."""
    with torch.no_grad():
        prepared = model.data_preprocessor(models.batch(max(args.batch), 0, args.size), False)
        yield "network", model(prepared["inputs"], mode="tensor")
    for images in SCENE_BATCHES:
        outputs = head_outputs.scene(images, args.scene_candidates, args.size, models.CLASSES, args.device)
        yield "crowded scene", outputs


def postprocessing_row(source: str, outputs: head_outputs.Outputs, own: Any, baseline: Any, args: Any) -> Row:
    """Time post-processing of one batch by this package's head and, if there is one, by the baseline's."""
    images = len(outputs[0][0])
    run = head_outputs.predictor(own, outputs, args.size)
    run_baseline = baseline and head_outputs.predictor(baseline, head_outputs.for_baseline(outputs), args.size)
    sync = harness.synchronizer(args.device)
    timed = time_pair(run, run_baseline, args.repeats, baseline_repeats=args.baseline_repeats, sync=sync)
    kept = {name: sum(map(len, each())) for name, each in (("kept", run), ("baseline_kept", run_baseline)) if each}
    return {"source": source, "batch": images, "candidates": count_candidates(own, outputs), **timed, **kept}


def targets(rows: list[Row], args: argparse.Namespace) -> list[Row]:
    """Compare with the targets: bfloat16 with the fastest baseline, on the CPU also float32 with float32."""
    cpu, found = args.device == "cpu", []
    kinds = [("with --amp", OWN_AMP, (BASELINE_AMP, BASELINE_FLOAT32), 1 if cpu else 2)]
    if cpu:
        kinds.append(("in float32", OWN_FLOAT32, (BASELINE_FLOAT32,), 1))
    for images, (kind, own, baselines, limit) in itertools.product(args.batch, kinds):
        speed = {row["implementation"]: row["images_per_second"] for row in rows if row["batch"] == images}
        fastest = max((speed[name] for name in baselines if name in speed), default=None)
        name = f"inference {kind}, batch of {images}: speedup over mmrotate"
        found.append(target(name, fastest and round(speed[own] / fastest, 2), at_least=limit))
    return found


def measure(args: argparse.Namespace) -> Record:
    amp, float32 = own_model(args), own_model(args)
    detectors = {OWN_AMP: Detector(amp, args.device, True), OWN_FLOAT32: Detector(float32, args.device, False)}
    baselines, missing = baseline_detectors(float32, args)
    detectors |= baselines
    rows = [row for images in args.batch for row in inference_rows(detectors, images, args)]
    head = baselines[BASELINE_FLOAT32].model.bbox_head if baselines else None
    scenes = [
        postprocessing_row(name, outputs, float32.bbox_head, head, args) for name, outputs in raw_outputs(float32, args)
    ]
    settings = {key: getattr(args, key) for key in ("size", "candidates", "scene_candidates", "baseline_amp")}
    return {
        "baseline_missing": missing, "settings": settings, "targets": targets(rows, args), "rows": rows,
        "scenes": scenes,
    }  # fmt: skip
