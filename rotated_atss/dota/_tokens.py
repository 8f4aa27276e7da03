"""Find, parse and format whole columns of tokens (fields) with NumPy, without a Python loop over lines."""

from collections.abc import Sequence

import numpy as np

from rotated_atss.dota._fields import MAX_FIELD_BYTES, parse_number

_BLOCK = 1 << 15  # tokens per block: temporary arrays stay in the cache
# Largest number of characters of a number that is parsed in bulk: float64 represents all integers of 15 digits exactly.
_MAX_WIDTH = 15
_ZERO, _DOT, _MINUS = b"0.-"
# by byte; white space does not count as a control character, as in rotated_atss.dota._fields
_IS_CONTROL = np.array([byte < 9 or 13 < byte < 32 or byte == 127 for byte in range(256)])
_POWERS = 10.0 ** np.arange(_MAX_WIDTH + 1)  # 10^0 to 10^15, exact in float64


def find_token_bounds(buffer: np.ndarray, fields: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Find the tokens of a table in which every line has ``fields`` tokens or is blank.

    Args:
        buffer: (B,) uint8, the table as text. ASCII white space separates tokens.
        fields: Number of tokens per line.

    Returns:
        starts, ends: (N, fields) int64 each; ``buffer[start:end]`` is a token.

    Raises:
        ValueError: A line has another number of tokens, a token is too long, or the text contains a control character.

    Example:
        >>> starts, ends = find_token_bounds(np.frombuffer(b"P1 0.5\nP2 1", np.uint8), fields=2)
        >>> starts.tolist(), ends.tolist()
        ([[0, 3], [7, 10]], [[2, 6], [9, 11]])
    """
    if len(buffer) and _IS_CONTROL[buffer].any():
        raise ValueError("the text contains a control character")
    in_token = np.zeros(len(buffer) + 2, dtype=bool)  # False before and after the text
    np.greater(buffer, 32, out=in_token[1:-1])  # bytes up to 32 are white space: control characters are excluded above
    edges = np.flatnonzero(in_token[1:] != in_token[:-1])  # start, end, start, end, ...
    starts, ends = edges[0::2], edges[1::2]
    line_ends = np.append(np.flatnonzero(buffer == ord("\n")), len(buffer))
    counts = np.diff(np.searchsorted(starts, line_ends), prepend=0)  # tokens per line
    if not ((counts == fields) | (counts == 0)).all():
        raise ValueError(f"a line does not have {fields} fields")
    if len(starts) and (ends - starts).max() > MAX_FIELD_BYTES:
        raise ValueError("a field is too long")
    return starts.reshape(-1, fields), ends.reshape(-1, fields)


def gather_tokens(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Copy tokens into an (N,) bytes array.

    Example:
        >>> gather_tokens(np.frombuffer(b"P1 0.5", np.uint8), np.array([0, 3]), np.array([2, 6])).tolist()
        [b'P1', b'0.5']
    """
    if not len(starts):
        return np.empty(0, dtype="S1")
    width = int((ends - starts).max())
    tokens = np.empty((len(starts), width), dtype=np.uint8)
    for low in range(0, len(starts), _BLOCK):
        rows = slice(low, low + _BLOCK)
        tokens[rows] = _copy_left_aligned(buffer, starts[rows], ends[rows], width)
    return tokens.view(f"S{width}").ravel()


def parse_decimals(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Parse tokens as (N,) float64, bit for bit as ``float(token)`` does.

    Raises:
        ValueError: A token is not a number.

    Example:
        >>> parse_decimals(np.frombuffer(b"-1.25 1e3", np.uint8), np.array([0, 6]), np.array([5, 9])).tolist()
        [-1.25, 1000.0]
    """
    values = np.empty(len(starts))
    for low in range(0, len(starts), _BLOCK):
        rows = slice(low, low + _BLOCK)
        values[rows] = _parse_block(buffer, starts[rows], ends[rows])
    return values


def format_decimals(values: np.ndarray) -> np.ndarray:
    r"""Format numbers as byte strings that ``float`` parses to the same values.

    All numbers get the same number of decimals, from 1 to 6, or the form of ``repr`` if 6 decimals are not enough.

    Args:
        values: Finite float64 array of any shape.

    Returns:
        Bytes array of the same shape. The strings can have leading zero bytes, which :func:`join_columns` drops.

    Example:
        >>> [string.strip(b"\0") for string in format_decimals(np.array([1.5, -20.25])).tolist()]
        [b'1.50', b'-20.25']
    """
    decimals = _common_decimals(values)
    if decimals is None:
        representations = [repr(value).encode() for value in values.ravel().tolist()]
        return np.array(representations, dtype=np.bytes_).reshape(values.shape)
    flat = values.ravel()
    scaled = np.rint(np.abs(flat) * 10.0**decimals).astype(np.int64)
    num_digits = max(len(str(scaled.max(initial=0))), decimals + 1)
    width = num_digits + 2  # with a minus and a dot
    characters = np.zeros((len(flat), width), dtype=np.uint8)
    for low in range(0, len(flat), _BLOCK):
        rows = slice(low, low + _BLOCK)
        _write_digits(characters[rows], scaled[rows], flat[rows] < 0, decimals)
    return characters.view(f"S{width}").reshape(values.shape)


def join_columns(columns: Sequence[np.ndarray], separator: bytes = b" ") -> bytes:
    r"""Join (N,) bytes columns into N lines; ``separator`` is one byte.

    Example:
        >>> join_columns([np.array([b"P1", b"P22"]), np.array([b"0.5", b"1"])])
        b'P1 0.5\nP22 1\n'
    """
    lines = []
    for low in range(0, len(columns[0]), _BLOCK):
        column_blocks = [np.ascontiguousarray(column[low : low + _BLOCK]) for column in columns]
        lines.append(_join_block(column_blocks, separator))
    return b"".join(lines)


def _copy_left_aligned(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray, width: int) -> np.ndarray:
    """Copy tokens into (n, width) uint8, padded with zeros on the right."""
    columns = np.arange(width)
    tokens = np.take(buffer, starts[:, None] + columns, mode="clip")
    tokens *= columns < (ends - starts)[:, None]
    return tokens


def _parse_block(buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Parse plain decimals such as ``-123.45`` in bulk and all other tokens with ``float``."""
    lengths = (ends - starts).astype(np.int32)
    width = min(int(lengths.max(initial=1)), _MAX_WIDTH)
    from_end = np.arange(width, 0, -1, dtype=np.int32)[:, None]
    # (width, n): one right-aligned token per column, so that all digits of a row have the same place value
    characters = np.take(buffer, ends - from_end, mode="clip")
    characters[from_end > lengths] = _ZERO  # pad on the left
    negative = buffer[starts] == _MINUS
    negative_tokens = np.flatnonzero(negative & (lengths <= width))
    characters[width - lengths[negative_tokens], negative_tokens] = _ZERO  # replaces the minus sign
    digits = characters - np.uint8(_ZERO)  # uint8 wraps around: a character that is not a digit gives more than 9
    is_dot = characters == _DOT
    num_dots = is_dot.sum(axis=0, dtype=np.uint8)
    digits[is_dot] = 0
    has_digit = lengths > negative + num_dots
    is_plain = (lengths <= width) & has_digit & (num_dots <= 1) & (digits.max(axis=0) <= 9)
    values = _combine_digits(digits, is_dot)
    np.negative(values, out=values, where=negative)
    for token in np.flatnonzero(~is_plain).tolist():
        values[token] = parse_number(buffer[starts[token] : ends[token]].tobytes().decode(errors="replace"))
    return values


def _combine_digits(digits: np.ndarray, is_dot: np.ndarray) -> np.ndarray:
    """Return the (n,) float64 values of numbers given as digits.

    The decimal point is first read as a digit 0, so the part before it has to be divided by ten. The integer without
    decimal point and the power of ten are exact in float64, so the only rounding is that of the final division, and the
    result equals that of ``float``.

    Args:
        digits: (width, n) uint8, one number per column, with 0 at the decimal point.
        is_dot: (width, n) bool, position of the decimal point.
    """
    width = len(digits)
    place_values = _POWERS[:width][::-1]  # of the rows, from the left: 10^(width - 1), ..., 10, 1
    with_zero = place_values @ digits.astype(np.float64)  # integer with 0 for the decimal point
    num_decimals = np.arange(width - 1, -1, -1, dtype=np.uint8) @ is_dot  # characters to the right of the dot
    # num_decimals exceeds width only in a token with two dots, which is invalid
    scale = _POWERS[np.minimum(num_decimals, width)]
    whole = np.floor(with_zero / (scale * 10.0))  # part before the decimal point
    # with_zero = whole * scale * 10 + decimals; the integer without decimal point is whole * scale + decimals
    mantissa = np.where(is_dot.any(axis=0), with_zero - whole * (scale * 9.0), with_zero)
    return mantissa / scale


def _common_decimals(values: np.ndarray) -> int | None:
    """Return the smallest number of decimals, 1 to 6, that represents all values exactly, or None if six do not."""
    flat = values.ravel()
    largest = np.abs(flat).max(initial=0.0)
    for decimals in range(1, 7):
        scale = 10.0**decimals
        if not largest * scale < 2.0**53:  # float64 does not represent all larger integers
            return None
        # the first 64 values are tested alone, because they reject most numbers of decimals
        if all(np.array_equal(np.rint(tested * scale) / scale, tested) for tested in (flat[:64], flat)):
            return decimals
    return None


def _write_digits(characters: np.ndarray, scaled: np.ndarray, negative: np.ndarray, decimals: int) -> None:
    """Write decimal numbers into the rows of an array, right-aligned.

    Args:
        characters: (n, width) uint8, filled with zero bytes; ``width`` is the largest number of digits plus 2.
        scaled: (n,) int64, absolute values of the numbers times ``10**decimals``.
        negative: (n,) bool, whether the numbers are negative.
        decimals: Number of decimals to write.
    """
    # division of 32-bit integers is faster
    remaining = scaled.astype(np.uint32) if scaled.max(initial=0) < 1 << 32 else scaled
    column = characters.shape[1] - 1
    for place in range(characters.shape[1] - 2):  # from the last digit to the first
        if place == decimals:
            characters[:, column] = _DOT
            column -= 1
        quotient = remaining // 10
        digit = (remaining - quotient * 10 + _ZERO).astype(np.uint8)
        # decimals and units are always written, digits further left only if they are not leading zeros
        characters[:, column] = digit if place <= decimals else np.where(remaining > 0, digit, 0)
        remaining = quotient
        column -= 1
    rows = np.flatnonzero(negative)
    left_of_number = (characters[rows] != 0).argmax(axis=1) - 1
    characters[rows, left_of_number] = _MINUS


def _join_block(columns: list[np.ndarray], separator: bytes) -> bytes:
    """Join contiguous (n,) bytes columns into lines, without the zero bytes that pad shorter strings."""
    widths = [column.dtype.itemsize for column in columns]
    lines = np.empty((len(columns[0]), sum(widths) + len(widths)), dtype=np.uint8)
    start = 0
    for column, width in zip(columns, widths, strict=True):
        lines[:, start : start + width] = column.view(np.uint8).reshape(-1, width)
        lines[:, start + width] = separator[0]
        start += width + 1
    lines[:, -1] = ord("\n")
    return lines[lines != 0].tobytes()
