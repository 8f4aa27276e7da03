"""Vectorized parser for label files in which every line has the standard form."""

import re

import numpy as np

from rotated_atss.dota._tokens import gather_tokens, parse_decimals, token_bounds

MIN_BULK_BYTES = 4096  # below this size the line-by-line parser is faster
_HEADER_LINES = re.compile(rb"(?:[ \t]*(?:imagesource|gsd|acquisition dates)[ \t]*:[^\s]*[ \t]*\r?\n)*", re.IGNORECASE)

Columns = tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray, tuple[str, ...]]


def parse_label_columns(data: bytes) -> Columns:
    """Parse a label file as a whole.

    Returns:
        The fields of ``Labels``: polygons (N, 8), names, difficult flags (N,), line numbers (N,) and header lines.

    Raises:
        ValueError: A line does not have the standard form (a missing difficult column, a header below the first
            object, an error). The line-by-line parser handles such files.
    """
    header_match = _HEADER_LINES.match(data)
    header = header_match[0] if header_match else b""
    buffer = np.frombuffer(data, dtype=np.uint8)[len(header) :]
    if not data.isascii():
        raise ValueError("not ASCII")
    starts, ends = token_bounds(buffer, fields=10)
    polygons = parse_decimals(buffer, starts[:, :8].ravel(), ends[:, :8].ravel()).reshape(-1, 8)
    flags = buffer[starts[:, 9]] - np.uint8(ord("0"))  # wraps around: any other character gives more than 9
    if not np.isfinite(polygons).all() or (flags > 9).any() or (ends[:, 9] - starts[:, 9] != 1).any():
        raise ValueError("not a standard label line")
    names = tuple(name.decode() for name in gather_tokens(buffer, starts[:, 8], ends[:, 8]).tolist())
    header_lines = header.decode().split("\n")[:-1]
    previous_lines = np.searchsorted(np.flatnonzero(buffer == ord("\n")), starts[:, 0]) + len(header_lines)
    return polygons, names, flags.astype(np.int64), previous_lines + 1, tuple(line.strip() for line in header_lines)
