"""Detections of the official ATSS: decoded boxes, selection per level and rescaling of inclusive boxes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.references.official_checkpoint import STRIDES
from tests.references.official_network import decode

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")


def test_decoded_boxes_equal_the_reference():
    from rotated_atss.detection.engine.config import build_model, load_config

    head = build_model(load_config("atss_official_r50_fpn_1x_coco", {"model.backbone.init_cfg": None})).bbox_head
    sizes = [(5, 7), (3, 4), (2, 2), (1, 2), (1, 1)]
    draw = torch.Generator().manual_seed(4)
    for (rows, columns), stride, priors in zip(sizes, STRIDES, head.prior_generator.grid_priors(sizes, device="cpu")):
        deltas = torch.randn(rows * columns, 4, generator=draw) * torch.tensor([3.0, 3, 5, 5])
        boxes = head.bbox_coder.decode(priors, deltas).numpy()
        for index, (row, column) in enumerate(itertools.product(range(rows), range(columns))):
            expected = np.add(decode(deltas[index].double().tolist(), column, row, stride), (0, 0, 1, 1))
            assert np.allclose(boxes[index], expected, rtol=1e-5, atol=1e-3)


def test_a_level_keeps_its_best_products():
    from rotated_atss.detection.heads.official_atss_head import mask_all_but_topk

    draw = torch.Generator().manual_seed(5)
    logits, central = torch.randn(2, 3, 4, 5, generator=draw), torch.randn(2, 1, 4, 5, generator=draw)
    kept = mask_all_but_topk(logits, central, 0.3, 10)
    for image in range(2):
        candidates = [
            (float(logits[image, c, y, x].sigmoid() * central[image, 0, y, x].sigmoid()), (c, y, x))
            for c, y, x in itertools.product(range(3), range(4), range(5))
            if logits[image, c, y, x].sigmoid() > 0.3
        ]
        best = {cell for _, cell in sorted(candidates, reverse=True)[:10]}
        above = {tuple(cell) for cell in torch.nonzero(kept[image].sigmoid() > 0.3).tolist()}
        assert above == best
        assert all(kept[(image, *cell)] == logits[(image, *cell)] for cell in best)
    assert torch.equal(mask_all_but_topk(logits, central, 0.3, 100), logits)
    assert bool((mask_all_but_topk(logits, central, 0.99, 10) <= logits).all())


def test_boxes_are_resized_by_their_pixels():
    from rotated_atss.ops.box_transforms import rescale_inclusive_boxes

    one_pixel = torch.tensor([[30.0, 15.0, 31.0, 16.0]])  # pixel (30, 15) of the resized image, as an area
    assert rescale_inclusive_boxes(one_pixel, (1.5, 3.0)).tolist() == [[20.0, 5.0, 21.0, 6.0]]
    whole = torch.tensor([[0.0, 0.0, 149 + 1.0, 89 + 1.0]])
    assert torch.allclose(
        rescale_inclusive_boxes(whole, (1.5, 1.5)), torch.tensor([[0, 0, 149 / 1.5 + 1, 89 / 1.5 + 1]])
    )
