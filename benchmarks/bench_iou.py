"""Rotated IoU: the closed form beside mmcv's compiled box_iou_rotated, in time a pair and in worst error.

    python benchmarks/bench_iou.py [--pairs 200000] [--repeats 9] [--peer-repeats 5] [--exact 2000] [--device cuda]

Float32 is judged by the closed form in float64 on all pairs, and that by rational arithmetic on some: --exact random
ones of each kind, and those on which it, its transpose and shapely disagree most.

On CUDA one more row compares all with all in a crowd where no pair is spared the exact work, and tells what share of
the device's float32 arithmetic that reaches. The peak is computed from the number of processors and the clock.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, inputs
from benchmarks.exact import exact_iou
from benchmarks.peers import mmcv_ops
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.backend import default_backend
from rotated_atss.ops.boxes import obb_to_poly

OFF = 0.01  # an IoU wrong by more than this is wrong, not rounded
SHAPELY_OFF = 1e-9
CROWD = 8192  # 67 million pairs: long enough that launching does not count
JUDGED_ROWS = 256
DOUBTFUL = 200  # pairs judged exactly for each second opinion that disagrees most

IoU = Callable[[Tensor, Tensor], Tensor]


def ours(first: Tensor, second: Tensor) -> Tensor:
    return rotated_iou(first, second, aligned=True)


def aligned_row(kind: str, dtype: torch.dtype, peer: IoU | None, args: argparse.Namespace) -> dict[str, Any]:
    """Time and errors of one kind of pairs in one precision."""
    first, second = (boxes.to(dtype) for boxes in inputs.pairs(kind, args.pairs))
    here = first.to(args.device), second.to(args.device)
    peer = peer if peer is not None and _takes(peer, dtype, args.device) else None
    run_peer = None if peer is None else (lambda: peer(*here))
    row = {"pairs": args.pairs, "kind": kind, "title": inputs.PAIR_KINDS[kind], "dtype": str(dtype)[len("torch.") :]}
    row |= harness.time_pair(
        lambda: ours(*here),
        run_peer,
        args.repeats,
        peer_repeats=args.peer_repeats,
        sync=harness.synchroniser(args.device),
    )
    mine = ours(*here).cpu().double()
    yours = None if peer is None else peer(*here).cpu().double()
    if dtype == torch.float32:
        right, judged = ours(first.double(), second.double()), slice(None)
        row["judged_by"] = "float64 closed form, all pairs"
    else:
        opinion = shapely_iou(first, second)
        judged = _doubtful(mine, [opinion, ours(second, first)], args.exact)
        right = exact(first[judged], second[judged])
        row["judged_by"] = f"rational arithmetic, {len(judged)} pairs"
        row["shapely"] = _against_shapely(mine, opinion, judged, right)
    row["ours_error"] = errors(mine[judged], right)
    row["peer_error"] = None if yours is None else errors(yours[judged], right)
    return row


def scene_row(peer: IoU | None, args: argparse.Namespace) -> dict[str, Any]:
    """All objects of one crowded tile with all of another."""
    first, second = (inputs.scene(args.objects, seed).to(args.device) for seed in (0, 1))
    run_peer = None if peer is None else (lambda: peer(first, second))
    title = f"{args.objects:,} x {args.objects:,} of a 1024 tile"
    row = {"pairs": args.objects**2, "kind": "scene", "title": title, "dtype": "float32"}
    row |= harness.time_pair(
        lambda: rotated_iou(first, second), run_peer, args.repeats,
        peer_repeats=min(2, args.peer_repeats), sync=harness.synchroniser(args.device),
    )  # fmt: skip
    right = rotated_iou(first.cpu().double(), second.cpu().double())
    row["judged_by"] = "float64 closed form, all pairs"
    row["ours_error"] = errors(rotated_iou(first, second).cpu().double(), right)
    row["peer_error"] = None if peer is None else errors(peer(first, second).cpu().double(), right)
    return row


def crowd_row(peer: IoU | None, args: argparse.Namespace) -> dict[str, Any]:
    """All with all where all meet: what the arithmetic alone takes on a GPU."""
    first, second = (inputs.crowd(CROWD, seed).to(args.device) for seed in (0, 1))
    title = f"{CROWD:,} x {CROWD:,} that all overlap"
    row = {"pairs": CROWD**2, "kind": "crowd", "title": title, "dtype": "float32"}
    row |= harness.time_pair(
        lambda: rotated_iou(first, second), None if peer is None else (lambda: peer(first, second)), args.repeats,
        warmup=3, peer_repeats=min(3, args.peer_repeats), sync=harness.synchroniser(args.device),
    )  # fmt: skip
    some = first[:JUDGED_ROWS]
    right = rotated_iou(some.cpu().double(), second.cpu().double())
    row["judged_by"] = f"float64 closed form, {right.numel()} pairs"
    row["ours_error"] = errors(rotated_iou(some, second).cpu().double(), right)
    row["peer_error"] = None if peer is None else errors(peer(some, second).cpu().double(), right)
    return row | arithmetic(row["pairs"], row["ours"]["median"], args.device)


def arithmetic(pairs: int, seconds: float, device: str) -> dict[str, Any]:
    """Operations a pair, what was reached of them a second, and the share of the computed peak."""
    if default_backend("cuda") != "triton":
        return {"backend": "torch"}
    from rotated_atss.ops.kernels.overlap import FLOPS_PER_PAIR

    reached, peak = FLOPS_PER_PAIR * pairs / seconds, harness.fp32_peak(device)
    return {
        "backend": "triton", "flops_a_pair": FLOPS_PER_PAIR, "tflops": round(reached / 1e12, 2),
        "computed_peak_tflops": peak and round(peak / 1e12, 2), "share_of_peak": peak and round(reached / peak, 3),
    }  # fmt: skip


def errors(found: Tensor, right: Tensor) -> dict[str, float]:
    """The worst error and the share of pairs that are wrong."""
    off = (found - right).abs()
    return {"worst": float(off.max()), "wrong_share": float((off > OFF).double().mean())}


def exact(first: Tensor, second: Tensor) -> Tensor:
    return torch.tensor([exact_iou(*pair) for pair in zip(first.tolist(), second.tolist())], dtype=torch.float64)


def shapely_iou(first: Tensor, second: Tensor) -> Tensor:
    """GEOS's opinion in float64, centres subtracted first."""
    import shapely

    first, second = first.clone(), second.clone()
    second[:, :2] -= first[:, :2]
    first[:, :2] = 0
    polygons = [shapely.polygons(obb_to_poly(boxes).numpy().reshape(-1, 4, 2)) for boxes in (first, second)]
    inter = torch.from_numpy(shapely.area(shapely.intersection(*polygons)))
    return inter / (first[:, 2:4].prod(1) + second[:, 2:4].prod(1) - inter)


def _doubtful(mine: Tensor, opinions: list[Tensor], random: int) -> Tensor:
    """Indices: the first ``random`` pairs, and those on which an opinion is furthest from ours."""
    worst = [(mine - other).abs().topk(min(DOUBTFUL, len(mine))).indices for other in opinions]
    return torch.cat([torch.arange(min(random, len(mine))), *worst]).unique()


def _against_shapely(mine: Tensor, opinion: Tensor, judged: Tensor, right: Tensor) -> dict[str, Any]:
    """How often shapely differs from ours, and whose error it is where rational arithmetic decided."""
    differs = (mine - opinion).abs() > SHAPELY_OFF
    decided = differs[judged]
    return {
        "differs": int(differs.sum()),
        "worst": float((mine - opinion).abs().max()),
        "decided": int(decided.sum()),
        "ours_wrong": int(((mine[judged] - right).abs() > SHAPELY_OFF)[decided].sum()),
        "shapely_wrong": int(((opinion[judged] - right).abs() > SHAPELY_OFF)[decided].sum()),
    }


def _takes(peer: IoU, dtype: torch.dtype, device: str) -> bool:
    box = torch.ones((1, 5), dtype=dtype, device=device)
    try:
        peer(box, box)
    except RuntimeError:
        return False
    return True


def bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised on the CPU."""
    of = {dtype: [row for row in rows if row["dtype"] == dtype] for dtype in ("float32", "float64")}
    ratios = [row["ratio"] for row in of["float32"] if "ratio" in row and row["kind"] in inputs.PAIR_KINDS]
    return [
        harness.bar(
            "aligned float32: times faster than mmcv on the slowest kind", min(ratios, default=None), at_least=20
        ),
        *error_bars(of),
    ]


def error_bars(of: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        harness.bar("worst error in float32", max(row["ours_error"]["worst"] for row in of["float32"]), at_most=2e-6),
        harness.bar("worst error in float64", max(row["ours_error"]["worst"] for row in of["float64"]), at_most=1e-12),
    ]


def gpu_bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised on a GPU."""
    ratios = [row["ratio"] for row in rows if "ratio" in row and row["kind"] in ("scene", "crowd")]
    shares = [row["share_of_peak"] for row in rows if row.get("share_of_peak")]
    claim = "all with all, float32: share of the arithmetic peak, computed"
    return [
        harness.bar("all with all: times faster than mmcv's CUDA op", min(ratios, default=None), at_least=5),
        harness.bar(claim, min(shares, default=None), at_least=0.3),
        *error_bars({dtype: [row for row in rows if row["dtype"] == dtype] for dtype in ("float32", "float64")}),
    ]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    peer, error = row.get("peer") or {}, row["peer_error"] or {}
    return {
        "pairs": row["title"], "dtype": row["dtype"], "ours_ns": row["ours"]["median"] / row["pairs"] * 1e9,
        "mmcv_ns": peer["median"] / row["pairs"] * 1e9 if peer else None, "ratio": row.get("ratio"),
        "ours_worst": row["ours_error"]["worst"], "mmcv_worst": error.get("worst"),
        "mmcv_wrong": error.get("wrong_share"), "shapely_differs": row.get("shapely", {}).get("differs"),
    }  # fmt: skip


def main() -> None:
    parser = harness.arguments(__doc__, repeats=9)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--objects", type=int, default=2000, help="of each scene compared all with all")
    parser.add_argument("--peer-repeats", type=int, default=5)
    parser.add_argument("--exact", type=int, default=2000, help="random pairs a kind for rational arithmetic")
    args = parser.parse_args()
    harness.check_device(args.device)
    mmcv, why = mmcv_ops(args.device)
    aligned = None if mmcv is None else lambda a, b: mmcv.box_iou_rotated(a, b, aligned=True)
    rows = [aligned_row(kind, dtype, aligned, args) for dtype in (torch.float32, torch.float64)
            for kind in inputs.PAIR_KINDS]  # fmt: skip
    rows.append(scene_row(None if mmcv is None else mmcv.box_iou_rotated, args))
    if args.device != "cpu":
        rows.append(crowd_row(None if mmcv is None else mmcv.box_iou_rotated, args))
    print(harness.table([shown(row) for row in rows]))
    print(why or "where mmcv has no figure, it does not take that precision")
    promised = bars(rows) if args.device == "cpu" else gpu_bars(rows)
    print(harness.show_bars(promised))
    payload = {"peer": "mmcv", "peer_missing": why, "environment": harness.environment(args.device)}
    print(harness.save("iou", {**payload, "bars": promised, "results": rows}))


if __name__ == "__main__":
    main()
