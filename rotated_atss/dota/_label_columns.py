"""A label file read in bulk where every line is as it should be; the reader line by line has the say on all others."""

import re

import numpy as np

from rotated_atss.dota._tokens import gather_tokens, parse_decimals, token_bounds

WORTH_IT = 4096  # bytes; a shorter file is read sooner line by line
_HEADER_LINES = re.compile(rb"(?:[ \t]*(?:imagesource|gsd|acquisition dates)[ \t]*:[^\s]*[ \t]*\r?\n)*", re.IGNORECASE)

Columns = tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray, tuple[str, ...]]


def label_columns(data: bytes) -> Columns:
    """Polygons (N, 8), names, difficult flags (N,), line numbers (N,) and header lines of a file.

    Raises:
        ValueError: It holds a line that is not plain: a missing difficult column, a header further down, an error.
    """
    found = _HEADER_LINES.match(data)
    header = found[0] if found else b""
    buffer = np.frombuffer(data, dtype=np.uint8)[len(header) :]
    if not data.isascii():
        raise ValueError("not ASCII")
    starts, ends = token_bounds(buffer, fields=10)
    polygons = parse_decimals(buffer, starts[:, :8].ravel(), ends[:, :8].ravel()).reshape(-1, 8)
    flags = buffer[starts[:, 9]] - np.uint8(48)  # wraps: what is no digit is above 9
    if not np.isfinite(polygons).all() or (flags > 9).any() or (ends[:, 9] - starts[:, 9] != 1).any():
        raise ValueError("not a plain label line")
    names = tuple(name.decode() for name in gather_tokens(buffer, starts[:, 8], ends[:, 8]).tolist())
    header_lines = header.decode().split("\n")[:-1]
    before = np.searchsorted(np.flatnonzero(buffer == 10), starts[:, 0]) + len(header_lines)
    return polygons, names, flags.astype(np.int64), before + 1, tuple(line.strip() for line in header_lines)
