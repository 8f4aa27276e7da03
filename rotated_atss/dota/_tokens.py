"""Whole columns of text at once: numpy finds, reads and writes the tokens of a file, no Python loop over its lines."""

from collections.abc import Sequence

import numpy as np

_BLOCK = 1 << 15  # tokens a block: its temporaries stay in the cache
_WIDEST = 15  # characters of a decimal read in bulk: its digits are exact in float64
_POWERS = 10.0 ** np.arange(_WIDEST + 2)


def token_bounds(buffer: np.ndarray, fields: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the tokens of a text lie whose every line is blank or has ``fields`` of them.

    Args:
        buffer: (B,) uint8, the text. Every byte up to 32 separates tokens.

    Returns:
        starts, ends: (N, fields) int64 each, ``buffer[start:end]`` is a token.

    Raises:
        ValueError: A line has another number of tokens, or the text holds a zero byte.
    """
    if not buffer.all():
        raise ValueError("a zero byte")
    inside = np.zeros(len(buffer) + 2, dtype=bool)
    np.greater(buffer, 32, out=inside[1:-1])
    edges = np.flatnonzero(inside[1:] != inside[:-1])  # start, end, start, end, ...
    starts, ends = edges[0::2], edges[1::2]
    line_ends = np.append(np.flatnonzero(buffer == 10), len(buffer))
    counts = np.diff(np.searchsorted(starts, line_ends), prepend=0)
    if not ((counts == fields) | (counts == 0)).all():
        raise ValueError(f"a line has not {fields} fields")
    return starts.reshape(-1, fields), ends.reshape(-1, fields)


def gather_tokens(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N,) bytes array of the tokens."""
    if not len(starts):
        return np.empty(0, dtype="S1")
    width = int((ends - starts).max())
    texts = np.empty((len(starts), width), dtype=np.uint8)
    for low in range(0, len(starts), _BLOCK):
        rows = slice(low, low + _BLOCK)
        texts[rows] = _left_aligned(buffer, starts[rows], ends[rows], width)
    return texts.view(f"S{width}").ravel()


def parse_decimals(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N,) float64, the same value as ``float(token)`` to the last bit.

    Raises:
        ValueError: A token is no number.
    """
    values = np.empty(len(starts))
    for low in range(0, len(starts), _BLOCK):
        rows = slice(low, low + _BLOCK)
        values[rows] = _parse_block(buffer, starts[rows], ends[rows])
    return values


def decimal_texts(values: np.ndarray) -> np.ndarray:
    """Bytes array of ``values``' shape: texts that ``float`` reads back as the same values, short where that is
    possible.

    Zero bytes may stand in front of the digits; ``join_columns`` drops them.
    """
    decimals = _common_decimals(values)
    if decimals is None:
        return np.array([repr(value).encode() for value in values.ravel().tolist()], dtype=np.bytes_).reshape(
            values.shape
        )
    flat = values.ravel()
    whole = np.rint(np.abs(flat) * 10.0**decimals).astype(np.int64)
    width = max(len(str(whole.max(initial=0))), decimals + 1)
    texts = np.zeros((len(flat), width + 2), dtype=np.uint8)
    for low in range(0, len(flat), _BLOCK):
        rows = slice(low, low + _BLOCK)
        _write_digits(texts[rows], whole[rows], flat[rows] < 0, decimals)
    return texts.view(f"S{width + 2}").reshape(values.shape)


def join_columns(columns: Sequence[np.ndarray], separator: bytes = b" ") -> bytes:
    """The rows of (N,) bytes columns as lines."""
    blocks = []
    for low in range(0, len(columns[0]), _BLOCK):
        parts = [np.ascontiguousarray(column[low : low + _BLOCK]) for column in columns]
        blocks.append(_join_block(parts, separator))
    return b"".join(blocks)


# -- one block ---------------------------------------------------------------------------------------------------------


def _left_aligned(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray, width: int) -> np.ndarray:
    """(n, width) uint8: each token's characters, then zeros."""
    columns = np.arange(width)
    texts = np.take(buffer, starts[:, None] + columns, mode="clip")
    texts *= columns < (ends - starts)[:, None]
    return texts


def _parse_block(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Read plain decimals such as ``-123.45`` in bulk, and whatever else ``float`` accepts one by one."""
    lengths = (ends - starts).astype(np.int32)
    width = min(int(lengths.max(initial=1)), _WIDEST)
    from_end = np.arange(width, 0, -1, dtype=np.int32)[:, None]
    # (width, n), right-aligned, so that a digit's place value is its row's
    characters = np.take(buffer, ends - from_end, mode="clip")
    characters[from_end > lengths] = 48  # zeros in front
    negative = buffer[starts] == 45
    columns = np.flatnonzero(negative & (lengths <= width))
    characters[width - lengths[columns], columns] = 48
    digits = characters - np.uint8(48)  # wraps: everything that is no digit is above 9
    is_dot = characters == 46
    dots = is_dot.sum(axis=0, dtype=np.uint8)
    digits[is_dot] = 0
    plain = (lengths <= width) & (lengths > negative + dots) & (dots <= 1) & (digits.max(axis=0) <= 9)
    values = _place_values(digits, is_dot)
    np.negative(values, out=values, where=negative)
    for row in np.flatnonzero(~plain).tolist():
        values[row] = float(buffer[starts[row] : ends[row]].tobytes())
    return values


def _place_values(digits: np.ndarray, is_dot: np.ndarray) -> np.ndarray:
    """(n,) float64 of (width, n) digits, the dot read as a digit 0 that is then taken out.

    Numerator and power of ten are exact, so the one division rounds as ``float`` does.
    """
    width = len(digits)
    raw = _POWERS[width - 1 :: -1][:width] @ digits.astype(np.float64)
    places = np.arange(width - 1, -1, -1, dtype=np.uint8) @ is_dot  # digits after the dot
    scale = _POWERS[np.minimum(places, width)]  # above only in a token with two dots, which is no number anyway
    whole = np.floor(raw / (scale * 10.0))
    mantissa = np.where(is_dot.any(axis=0), raw - whole * (scale * 9.0), raw)
    return mantissa / scale


def _common_decimals(values: np.ndarray) -> int | None:
    """The fewest digits after the dot that write all values exactly, or None where six do not."""
    flat = values.ravel()
    largest = np.abs(flat).max(initial=0.0)
    for decimals in range(1, 7):
        scale = 10.0**decimals
        if not largest * scale < 2.0**53:
            return None
        if all(np.array_equal(np.rint(part * scale) / scale, part) for part in (flat[:64], flat)):
            return decimals
    return None


def _write_digits(texts: np.ndarray, whole: np.ndarray, negative: np.ndarray, decimals: int) -> None:
    """Write ``whole / 10**decimals`` into the rows of ``texts``, right-aligned, zero bytes in front."""
    rest = whole.astype(np.uint32) if whole.max(initial=0) < 1 << 32 else whole
    column = texts.shape[1] - 1
    for place in range(texts.shape[1] - 2):
        if place == decimals:
            texts[:, column] = 46
            column -= 1
        higher = rest // 10
        digit = (rest - higher * 10 + 48).astype(np.uint8)
        texts[:, column] = digit if place <= decimals else np.where(rest > 0, digit, 0)
        rest = higher
        column -= 1
    rows = np.flatnonzero(negative)
    first = (texts[rows] != 0).argmax(axis=1) - 1
    texts[rows, first] = 45


def _join_block(parts: list[np.ndarray], separator: bytes) -> bytes:
    widths = [part.dtype.itemsize for part in parts]
    lines = np.empty((len(parts[0]), sum(widths) + len(widths)), dtype=np.uint8)
    column = 0
    for part, width in zip(parts, widths, strict=True):
        lines[:, column : column + width] = part.view(np.uint8).reshape(-1, width)
        lines[:, column + width] = separator[0]
        column += width + 1
    lines[:, -1] = 10
    return lines[lines != 0].tobytes()
