"""Head outputs that resemble those of a trained model, made without training.

Either the last layers of a network are scaled so that a given number of (prior, class) pairs exceed the score
threshold, or outputs are made from a crowded scene. The baseline is given equal boxes and scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks import inputs
from rotated_atss.assign import Grid, square_priors
from rotated_atss.checkpoints.deltas import BoxEncoding, rewrite_regression, with_mmrotate_1x_priors
from rotated_atss.ops.delta_coder import encode_deltas

LOGIT_STD, DELTA_STD = 1.5, 0.3  # of the scaled layers
BACKGROUND_MEAN, BACKGROUND_STD = -6.5, 0.5  # logits of background pairs, five deviations below the threshold
OWN_CODE = BoxEncoding(((1.0, 1.0, 0.0),), "le90", proj_xy=True)
BASELINE_CODE = with_mmrotate_1x_priors(OWN_CODE)  # priors of mmrotate: rotated by a quarter turn
LOWEST_SCORE, HIGHEST_SCORE = 0.06, 0.95  # of a scene's candidates

Outputs = tuple[list[Tensor], list[Tensor]]  # per level: (B, C, H, W) logits and (B, 5, H, W) deltas


@torch.no_grad()
def scale_outputs(model: torch.nn.Module, batch: dict[str, list], candidates: int) -> None:
    """Scale the last layers of an untrained model in place.

    On this batch the logits of every class then have the same mean and deviation, about ``candidates`` (prior, class)
    pairs per image exceed the score threshold, and boxes leave their priors.
    """
    prepared = model.data_preprocessor(batch, False)
    scores, deltas = (_rows(levels) for levels in model(prepared["inputs"], mode="tensor"))
    head = model.bbox_head
    standard = (scores - scores.mean(0)) / scores.std(0)
    lowest = standard.flatten().topk(candidates * len(batch["inputs"])).values[-1]
    threshold = math.log(model.test_cfg.score_thr / (1 - model.test_cfg.score_thr))
    _rescale(head.retina_cls, scores, LOGIT_STD, threshold - LOGIT_STD * float(lowest))
    _rescale(head.retina_reg, deltas, DELTA_STD, 0.0)


def _rows(levels: list[Tensor]) -> Tensor:
    """Flatten levels (B, C, H, W) to (rows, C)."""
    return torch.cat([level.transpose(0, 1).flatten(1) for level in levels], 1).T


def _rescale(layer: torch.nn.Conv2d, outputs: Tensor, std: float, mean: float) -> None:
    """Set the deviation and mean of each output channel, given the present ``outputs`` (rows, C) of the layer."""
    factor = std / outputs.std(0)
    layer.weight *= factor[:, None, None, None]
    layer.bias.copy_((layer.bias - outputs.mean(0)) * factor + mean)


@torch.no_grad()
def copy_weights(own: torch.nn.Module, baseline: torch.nn.Module) -> None:
    """Copy the weights, those of the last box layer rewritten for the baseline's priors: equal boxes and scores."""
    baseline.load_state_dict(own.state_dict())
    layer = baseline.bbox_head.retina_reg
    weight, bias = rewrite_regression(layer.weight.cpu(), layer.bias.cpu(), OWN_CODE, BASELINE_CODE)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def for_baseline(outputs: Outputs) -> Outputs:
    """Rewrite the deltas for the baseline's priors, exactly: they exchange positions and signs."""
    matrix, _ = rewrite_regression(torch.eye(5).reshape(5, 5, 1, 1), torch.zeros(5), OWN_CODE, BASELINE_CODE)
    logits, deltas = outputs
    rewrite = matrix.reshape(5, 5).to(deltas[0])
    return logits, [torch.einsum("ij,bjhw->bihw", rewrite, level).contiguous() for level in deltas]


def scene(images: int, candidates: int, size: int, classes: int, device: str) -> Outputs:
    """Make outputs for a crowd of objects with up to five candidates each, the rest background.

    Args:
        images: B, each with its own objects.
        candidates: Pairs per image with evenly spaced scores from 0.06 to 0.95, each of a different prior.
        size: Side of the images in pixels.
        classes: Number of classes.
        device: Device of the outputs.
    """
    draw = torch.Generator().manual_seed(0)
    priors, _, grids = square_priors((size, size))
    logits = torch.randn(images, len(priors), classes, generator=draw) * BACKGROUND_STD + BACKGROUND_MEAN
    deltas = torch.randn(images, len(priors), 5, generator=draw) * DELTA_STD
    for image in range(images):
        boxes, prior, label = _candidates(priors, candidates, size, classes, image)
        logits[image, prior, label] = torch.linspace(HIGHEST_SCORE, LOWEST_SCORE, candidates).logit()
        deltas[image, prior] = encode_deltas(priors[prior], boxes, "le90", edge_swap=True, proj_xy=True)
    return _levels(logits.to(device), grids), _levels(deltas.to(device), grids)


def _candidates(priors: Tensor, number: int, size: int, classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw (N, 5) boxes, (N,) distinct priors and (N,) labels in random order."""
    per_gt = 5
    num_gt = 1 + number // 2  # more than needed, since neighboring objects compete for the same priors
    gt_boxes = inputs.scene(num_gt, seed, size=size)
    boxes, order, labels = inputs.detections(num_gt, per_gt, classes, size, seed)
    distance = torch.cdist(gt_boxes[:, :2], priors[:, :2]) / priors[:, 2]
    scale = (gt_boxes[:, 2:4].prod(1).sqrt().log()[:, None] - priors[:, 2].log()).abs()
    nearest = (distance + scale).topk(per_gt, largest=False).indices.flatten()  # (num_gt * per_gt,), like the boxes
    first: dict[int, int] = {}  # prior -> row
    for row in order.argsort().tolist():
        first.setdefault(int(nearest[row]), row)
    rows = list(first.values())[:number]
    if len(rows) < number:
        raise ValueError(f"{number} candidates do not fit an image of {size} px. At most {len(rows)} do.")
    return boxes[rows], nearest[rows], labels[rows]


def _levels(values: Tensor, grids: list[Grid]) -> list[Tensor]:
    """Split (B, A, C) into levels (B, C, H, W)."""
    parts = values.split([grid.height * grid.width for grid in grids], 1)
    return [part.transpose(1, 2).unflatten(2, grid[:2]).contiguous() for part, grid in zip(parts, grids)]


def predictor(head: Any, outputs: Outputs, size: int) -> Callable[[], list]:
    """Return a function that post-processes outputs for images of ``size`` px, neither scaled nor padded."""
    meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0))
    metas = [dict(meta) for _ in outputs[0][0]]

    @torch.no_grad()
    def run(**options: Any) -> list:
        return head.predict_by_feat(*outputs, batch_img_metas=metas, rescale=True, **options)

    return run
