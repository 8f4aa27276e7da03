"""Vectorized parser for Task1 detection files."""

from collections.abc import Iterator

import numpy as np

from rotated_atss.dota._fields import MAX_NUMBER
from rotated_atss.dota._tokens import find_token_bounds, gather_tokens, parse_decimals

_CHUNK_BYTES = 1 << 21  # 2 MiB of text; limits the size of temporary arrays

# The image ids, and four arrays with one row per detection: image index (N,), score (N,), polygon (N, 8), and the bytes
# of the score in the file (N,). These bytes are kept because output files repeat each score exactly as it was written.
Columns = tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def parse_detection_columns(data: bytes) -> Columns:
    """Parse the content of a non-empty detection file, chunk by chunk.

    Returns:
        The fields of :class:`rotated_atss.dota.detections.Detections`, in their order.

    Raises:
        ValueError: A line is malformed. The error does not name the line; the caller finds it with a slower parser.
    """
    index_of_image_id: dict[bytes, int] = {}  # in order of first appearance
    chunks = [_parse_chunk(chunk, index_of_image_id) for chunk in _split_at_line_ends(data)]
    image_index, scores, polygons, score_texts = (np.concatenate(column) for column in zip(*chunks))
    return tuple(image_id.decode() for image_id in index_of_image_id), image_index, scores, polygons, score_texts


def _split_at_line_ends(data: bytes) -> Iterator[np.ndarray]:
    """Yield chunks of ``data`` that end at a line end, each as an array (B,) of uint8."""
    buffer = np.frombuffer(data, dtype=np.uint8)
    low = 0
    while low < len(data):
        line_end = data.find(b"\n", low + _CHUNK_BYTES)
        high = line_end + 1 if line_end >= 0 else len(data)
        yield buffer[low:high]
        low = high


def _parse_chunk(buffer: np.ndarray, index_of_image_id: dict[bytes, int]) -> tuple[np.ndarray, ...]:
    """Parse whole lines into the arrays of :data:`Columns`; add new image ids to ``index_of_image_id``."""
    starts, ends = find_token_bounds(buffer, num_fields=10)  # (n, 10) each: image id, score, eight coordinates
    image_index = _index_image_ids(gather_tokens(buffer, starts[:, 0], ends[:, 0]), index_of_image_id)
    scores = parse_decimals(buffer, starts[:, 1], ends[:, 1])
    polygons = parse_decimals(buffer, starts[:, 2:].ravel(), ends[:, 2:].ravel()).reshape(-1, 8)
    if not all((np.abs(values) <= MAX_NUMBER).all() for values in (scores, polygons)):
        raise ValueError("a number is too large or not finite")
    return image_index, scores, polygons, gather_tokens(buffer, starts[:, 1], ends[:, 1])


def _index_image_ids(image_ids: np.ndarray, index_of_image_id: dict[bytes, int]) -> np.ndarray:
    """Map image ids (n,) to indices (n,) int64, and add new ids to ``index_of_image_id``.

    Detections of one image usually follow each other, so each run of equal ids needs only one lookup.
    """
    if not len(image_ids):
        return np.empty(0, dtype=np.int64)
    run_starts = np.flatnonzero(np.append(True, image_ids[1:] != image_ids[:-1]))
    run_image_ids = image_ids[run_starts].tolist()
    run_indices = [index_of_image_id.setdefault(image_id, len(index_of_image_id)) for image_id in run_image_ids]
    run_lengths = np.diff(np.append(run_starts, len(image_ids)))
    return np.repeat(np.array(run_indices, dtype=np.int64), run_lengths)
