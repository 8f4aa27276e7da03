"""Compare max-IoU assignment with MMDetection's on the tiles of real images, with nine priors per location.

    python benchmarks/compare_max_iou.py [--data FOLDER]

FOLDER holds images/ and labelTxt/; by default it is dota_sample in $ROTATED_ATSS_DATA. The baseline is MMDetection's
assigner on mmcv's IoU, computed only for pairs whose circumscribed boxes overlap; all other pairs have an IoU of 0.
Printed: tiles, objects, positives of both, priors that differ, and differing priors left when the
IoUs of the baseline that are tied with the highest one of a box are made equal.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench_max_iou import nine_priors
from benchmarks.bench_split import GAP, SIZE, split
from benchmarks.dota_data import find_data
from rotated_atss.assign import max_iou_assign
from rotated_atss.assign.max_iou import TIE_TOLERANCE
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from rotated_atss.dota.labels import read_labels
from rotated_atss.ops.boxes import poly_to_obb


def baseline_ious(priors: Tensor, gt_boxes: Tensor) -> Tensor:
    """Return mmcv's (G, A) IoUs, 0 for pairs whose circumscribed boxes do not overlap."""
    from mmcv.ops import box_iou_rotated

    iou = torch.zeros(len(gt_boxes), len(priors))
    for prior, gt in overlapping_box_pairs(priors, gt_boxes):
        iou[gt, prior] = box_iou_rotated(gt_boxes[gt], priors[prior], aligned=True)
    return iou


def merge_ties(iou: Tensor) -> Tensor:
    """Make the IoUs of each box that count as equal to its highest one equal to it."""
    highest = iou.amax(1, keepdim=True)
    return torch.where(iou >= highest * (1 - TIE_TOLERANCE), highest, iou)


def mmdetection(iou: Tensor) -> Tensor:
    """Return MMDetection's assignment; -1 is background, -2 ignored."""
    from mmdet.models.task_modules import MaxIoUAssigner

    result = MaxIoUAssigner(0.5, 0.4).assign_wrt_overlaps(iou.clone(), torch.zeros(len(iou), dtype=torch.int64))
    return result.gt_inds - 1


def compare_tile(priors: Tensor, gt_boxes: Tensor) -> dict[str, int]:
    own, iou = max_iou_assign(priors, gt_boxes)[0], baseline_ious(priors, gt_boxes)
    baseline, merged = mmdetection(iou), mmdetection(merge_ties(iou))
    return {
        "tiles": 1, "objects": len(gt_boxes),
        "positives": int((own >= 0).sum()), "baseline positives": int((baseline >= 0).sum()),
        "differing priors": int((own != baseline).sum()),
        "differing priors with merged ties": int((own != merged).sum()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="", help="folder with images/ and labelTxt/")
    args = parser.parse_args()
    priors, totals = nine_priors(SIZE), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        data, name = find_data(args.data, Path(folder))
        split(data, Path(folder, "tiles"), 1)
        for path in sorted(Path(folder, "tiles", "labelTxt").glob("*.txt")):
            polygons = torch.from_numpy(read_labels(path).polygons)
            if len(polygons):
                totals.update(compare_tile(priors, poly_to_obb(polygons).float()))
    print(f"{name}, tiles of {SIZE} px with a gap of {GAP} px")
    for key, value in totals.items():
        print(f"{key}: {value:,}")


if __name__ == "__main__":
    main()
