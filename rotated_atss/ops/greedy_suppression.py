"""Greedy suppression, given the pairs of boxes whose overlap exceeds the threshold.

Rotated NMS, polygon NMS and box voting use it. Boxes are numbered by rank, best first. Pair p means that box
``suppressors[p]``, if it is kept, suppresses the lower-ranked box ``suppressed[p]``.

Deciding box by box takes one step per box. A round decides many boxes at once: undecided boxes without an undecided
suppressor are kept, and the boxes they suppress are removed. A few rounds decide nearly all boxes. The others form long
chains, in which each box is a possible suppressor of the next one; :func:`greedy_keep` decides them box by box.
"""

from __future__ import annotations

import numpy as np

from rotated_atss.ops.ragged import Array

# Most scenes need fewer rounds. If pairs remain after this many, they form long chains, for which deciding box by box
# is faster than further rounds.
MAX_ROUNDS = 64


def greedy_keep(count: int, suppressors: np.ndarray, suppressed: np.ndarray) -> np.ndarray:
    """Return which boxes greedy suppression keeps.

    Args:
        count: Number of boxes N.
        suppressors: (P,) int, ranks of the suppressing boxes.
        suppressed: (P,) int, rank of the box that each suppressor suppresses. It is greater than the suppressor's rank,
            because rank 0 is the best.

    Returns:
        (N,) bool.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.greedy_suppression import greedy_keep
        >>> greedy_keep(4, np.array([0, 1, 2]), np.array([1, 2, 3]))  # 1 is removed, so it does not suppress 2
        array([ True, False,  True, False])
    """
    undecided = np.ones(count, dtype=bool)
    kept, undecided, suppressors, suppressed = decide_in_rounds(undecided, suppressors, suppressed, MAX_ROUNDS)
    return kept | _decide_one_by_one(undecided, suppressors, suppressed)


def decide_in_rounds(
    undecided: Array, suppressors: Array, suppressed: Array, max_rounds: int
) -> tuple[Array, Array, Array, Array]:
    """Decide boxes round by round, for NumPy arrays or torch tensors on any device.

    Args:
        undecided: (N,) bool, all True. The results are arrays or tensors as this argument is, on the same device.
        suppressors: (P,) ranks of the suppressing boxes, see :func:`greedy_keep`.
        suppressed: (P,) ranks of the suppressed boxes, see :func:`greedy_keep`.
        max_rounds: Stop after this many rounds. No pairs remain after N rounds.

    Returns:
        kept: (N,) bool, boxes that are kept.
        undecided: (N,) bool, boxes not yet decided. If no pairs remain, all of these boxes are kept.
        suppressors: (Q,) suppressing boxes of the remaining pairs, in which both boxes are undecided.
        suppressed: (Q,) suppressed boxes of these pairs.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.greedy_suppression import decide_in_rounds
        >>> pairs = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3])
        >>> kept, undecided, *_ = decide_in_rounds(torch.ones(4, dtype=torch.bool), *pairs, max_rounds=1)
        >>> kept.tolist(), undecided.tolist()
        ([True, False, False, False], [False, False, True, True])
    """
    kept = undecided & False  # all False, for arrays and tensors alike
    for _ in range(max_rounds):
        if not len(suppressors):
            break
        has_undecided_suppressor = kept & False
        has_undecided_suppressor[suppressed] = True
        newly_kept = undecided & ~has_undecided_suppressor
        kept = kept | newly_kept
        undecided = undecided & has_undecided_suppressor
        undecided[suppressed[newly_kept[suppressors]]] = False
        open_pairs = undecided[suppressors] & undecided[suppressed]
        suppressors, suppressed = suppressors[open_pairs], suppressed[open_pairs]
    return kept, undecided, suppressors, suppressed


def _decide_one_by_one(undecided: np.ndarray, suppressors: np.ndarray, suppressed: np.ndarray) -> np.ndarray:
    """Decide the undecided boxes in order of rank, and return which of them are kept."""
    kept = undecided.copy()
    order = np.argsort(suppressors, kind="stable")
    suppressors, suppressed = suppressors[order], suppressed[order]
    ranks, starts = np.unique(suppressors, return_index=True)
    stops = [*starts[1:].tolist(), len(suppressors)]
    for rank, start, stop in zip(ranks.tolist(), starts.tolist(), stops):
        if kept[rank]:
            kept[suppressed[start:stop]] = False
    return kept
