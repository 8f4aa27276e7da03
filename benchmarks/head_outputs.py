"""What a trained head puts out, without training: a network whose last layers are scaled so that a chosen number of
pairs pass the score threshold, and outputs of a head made from a crowded scene; each for ours and, the same boxes and
scores, for the peer.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from benchmarks import inputs
from rotated_atss.checkpoints.deltas import BoxEncoding, rewrite_regression, with_mmrotate_1x_priors
from rotated_atss.ops.delta_coder import encode_deltas

LOGIT_SPREAD, DELTA_SPREAD = 1.5, 0.3  # standard deviations of the scaled layers
BACKGROUND, NOISE = -6.5, 0.5  # logits of a scene's other pairs: five deviations and more below the threshold
OURS = BoxEncoding(((1.0, 1.0, 0.0),), "le90", proj_xy=True)
PEERS = with_mmrotate_1x_priors(OURS)  # a quarter turn from ours, and its boxes with it
LOWEST, HIGHEST = 0.06, 0.95  # scores of a scene's candidates

Outputs = tuple[list[Tensor], list[Tensor]]  # a level each: (B, C, H, W) logits and (B, 5, H, W) deltas


@torch.no_grad()
def make_decisive(model: torch.nn.Module, batch: dict[str, list], candidates: int) -> None:
    """Scale the last layers of an untrained model: on this batch the logits of every class then have the same mean and
    spread, about ``candidates`` (prior, class) pairs an image pass the score threshold, and boxes leave their priors.

    Args:
        model: Changed in place.
        batch: As a loader gives it.
        candidates: An image.
    """
    prepared = model.data_preprocessor(batch, False)
    scores, deltas = (_rows(levels) for levels in model(prepared["inputs"], mode="tensor"))
    head = model.bbox_head
    standard = (scores - scores.mean(0)) / scores.std(0)
    lowest = standard.flatten().topk(candidates * len(batch["inputs"])).values[-1]
    threshold = math.log(model.test_cfg.score_thr / (1 - model.test_cfg.score_thr))
    _rescale(head.retina_cls, scores, LOGIT_SPREAD, threshold - LOGIT_SPREAD * float(lowest))
    _rescale(head.retina_reg, deltas, DELTA_SPREAD, 0.0)


def _rows(levels: list[Tensor]) -> Tensor:
    """Levels (B, C, H, W) to (rows, C)."""
    return torch.cat([level.transpose(0, 1).flatten(1) for level in levels], 1).T


def _rescale(layer: torch.nn.Conv2d, found: Tensor, spread: float, mean: float) -> None:
    """Give each output channel a spread and a mean, where ``found`` (rows, C) are the layer's outputs now."""
    factor = spread / found.std(0)
    layer.weight *= factor[:, None, None, None]
    layer.bias.copy_((layer.bias - found.mean(0)) * factor + mean)


@torch.no_grad()
def copy_weights(ours: torch.nn.Module, peer: torch.nn.Module) -> None:
    """Give the peer our weights, those of the last box layer rewritten for its priors: all boxes and scores are then
    the same.
    """
    peer.load_state_dict(ours.state_dict())
    layer = peer.bbox_head.retina_reg
    weight, bias = rewrite_regression(layer.weight.cpu(), layer.bias.cpu(), OURS, PEERS)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def for_peer(outputs: Outputs) -> Outputs:
    """The same scores and boxes from the peer's priors: deltas that change places and sign, exactly."""
    matrix, _ = rewrite_regression(torch.eye(5).reshape(5, 5, 1, 1), torch.zeros(5), OURS, PEERS)
    logits, deltas = outputs
    turn = matrix.reshape(5, 5).to(deltas[0])
    return logits, [torch.einsum("ij,bjhw->bihw", turn, level).contiguous() for level in deltas]


def scene(images: int, candidates: int, size: int, classes: int, device: str) -> Outputs:
    """Outputs for a crowd of objects, up to five candidates each, the rest background.

    Args:
        images: B, each with objects of its own.
        candidates: N, (prior, class) pairs an image with scores from 0.06 to 0.95, evenly apart, each of a prior of its
            own; all others are far below.
        size: Side of the images in pixels.
        classes: Number of classes.
        device: Of the outputs.

    Raises:
        ValueError: More candidates than fit an image of that size.
    """
    draw = torch.Generator().manual_seed(0)
    priors, _ = inputs.priors(size)
    logits = torch.randn(images, len(priors), classes, generator=draw) * NOISE + BACKGROUND
    deltas = torch.randn(images, len(priors), 5, generator=draw) * DELTA_SPREAD
    for image in range(images):
        boxes, prior, label = _candidates(priors, candidates, size, classes, image)
        logits[image, prior, label] = torch.linspace(HIGHEST, LOWEST, candidates).logit()
        deltas[image, prior] = encode_deltas(priors[prior], boxes, "le90", edge_swap=True, proj_xy=True)
    return _levels(logits.to(device), size), _levels(deltas.to(device), size)


def _candidates(priors: Tensor, number: int, size: int, classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 5) boxes, (N,) priors, each once, and (N,) labels, in an order of chance."""
    each = 5
    objects = 1 + number // 2  # more than asked for, as objects near each other want the same priors
    real = inputs.scene(objects, seed, size=size)
    boxes, order, labels = inputs.detections(objects, each, classes, size, seed)
    middle = torch.cdist(real[:, :2], priors[:, :2]) / priors[:, 2]
    scale = (real[:, 2:4].prod(1).sqrt().log()[:, None] - priors[:, 2].log()).abs()
    nearest = (middle + scale).topk(each, largest=False).indices.flatten()  # (objects * each,), as the boxes
    taken, rows = torch.zeros(len(priors), dtype=torch.bool), []
    for row in order.argsort().tolist():
        if len(rows) < number and not taken[nearest[row]]:
            taken[nearest[row]] = True
            rows.append(row)
    if len(rows) < number:
        raise ValueError(f"{number} candidates do not fit an image of {size} px: at most {len(rows)}")
    return boxes[rows], nearest[rows], labels[rows]


def _levels(values: Tensor, size: int) -> list[Tensor]:
    """(B, A, C) as levels (B, C, H, W)."""
    sides = [-(-size // stride) for stride in inputs.STRIDES]
    parts = values.split([side * side for side in sides], 1)
    return [part.transpose(1, 2).unflatten(2, (side, side)).contiguous() for part, side in zip(parts, sides)]


def metas(images: int, size: int) -> list[dict[str, Any]]:
    """What the heads ask of images that were neither scaled nor padded."""
    return [dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0)) for _ in range(images)]
