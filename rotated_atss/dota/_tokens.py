"""Find, parse and format whole columns of tokens (fields) with NumPy, without a Python loop over lines."""

from collections.abc import Sequence

import numpy as np

from rotated_atss.dota._fields import MAX_FIELD_BYTES, parse_number

_BLOCK = 1 << 15  # number of tokens per block; small enough for temporary arrays to stay in the CPU cache
# Longer numbers are not parsed in bulk. This limit works because float64 represents every integer of 15 digits exactly.
_MAX_WIDTH = 15
_ZERO, _DOT, _MINUS = b"0.-"
# Whether each byte value is a control character. White space is not counted as one, as in rotated_atss.dota._fields.
_IS_CONTROL = np.array([byte < 9 or 13 < byte < 32 or byte == 127 for byte in range(256)])
_POWERS_OF_TEN = 10.0 ** np.arange(_MAX_WIDTH + 1)  # 10^0 to 10^15, exact in float64


def find_token_bounds(buffer: np.ndarray, num_fields: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Find the tokens of a table in which every line has ``num_fields`` tokens or is blank.

    Args:
        buffer: (B,) uint8, the table as text. ASCII white space separates tokens.
        num_fields: Number of tokens per line.

    Returns:
        starts, ends: (N, num_fields) int64 each; ``buffer[start:end]`` is a token.

    Raises:
        ValueError: A line has another number of tokens, a token is too long, or the text contains a control character.

    Example:
        >>> starts, ends = find_token_bounds(np.frombuffer(b"P1 0.5\nP2 1", np.uint8), num_fields=2)
        >>> starts.tolist(), ends.tolist()
        ([[0, 3], [7, 10]], [[2, 6], [9, 11]])
    """
    if len(buffer) and _IS_CONTROL[buffer].any():
        raise ValueError("the text contains a control character")
    in_token = np.zeros(len(buffer) + 2, dtype=bool)  # False before and after the text
    # Every byte up to 32 is white space here, because control characters have raised an error above.
    np.greater(buffer, 32, out=in_token[1:-1])
    edges = np.flatnonzero(in_token[1:] != in_token[:-1])  # start, end, start, end, ...
    starts, ends = edges[0::2], edges[1::2]
    line_ends = np.append(np.flatnonzero(buffer == ord("\n")), len(buffer))
    counts = np.diff(np.searchsorted(starts, line_ends), prepend=0)  # tokens per line
    if not ((counts == num_fields) | (counts == 0)).all():
        raise ValueError(f"a line does not have {num_fields} fields")
    if len(starts) and (ends - starts).max() > MAX_FIELD_BYTES:
        raise ValueError("a field is too long")
    return starts.reshape(-1, num_fields), ends.reshape(-1, num_fields)


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

    All numbers get the same number of decimals, the smallest number from 1 to 6 that is enough for all of them. If 6
    decimals are not enough, all numbers are written as ``repr`` writes them.

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
    width = num_digits + 2  # leaves room for the minus sign and the dot
    characters = np.zeros((len(flat), width), dtype=np.uint8)
    for low in range(0, len(flat), _BLOCK):
        rows = slice(low, low + _BLOCK)
        _write_digits(characters[rows], scaled[rows], flat[rows] < 0, decimals)
    return characters.view(f"S{width}").reshape(values.shape)


def join_columns(columns: Sequence[np.ndarray], separator: bytes = b" ") -> bytes:
    r"""Join columns, (N,) bytes arrays, into N lines; ``separator`` is one byte.

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
    """Parse plain decimals such as ``-123.45`` in bulk, and all other tokens one by one."""
    lengths = (ends - starts).astype(np.int32)
    width = min(int(lengths.max(initial=1)), _MAX_WIDTH)
    places_from_end = np.arange(width, 0, -1, dtype=np.int32)[:, None]
    # (width, n): one right-aligned token per column, so that all digits of a row have the same place value
    characters = np.take(buffer, ends - places_from_end, mode="clip")
    characters[places_from_end > lengths] = _ZERO  # pad on the left
    negative = buffer[starts] == _MINUS
    negative_tokens = np.flatnonzero(negative & (lengths <= width))
    characters[width - lengths[negative_tokens], negative_tokens] = _ZERO  # in place of the minus sign
    # A character that is not a digit gives a value above 9 here, because uint8 wraps around for bytes below b"0".
    digits = characters - np.uint8(_ZERO)
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

    The decimal point is first read as a digit 0, which shifts the digits before it by one place; then the shift is
    undone. The result is the integer that remains without the decimal point, divided by a power of ten. Float64
    represents both of these numbers exactly, so only the division rounds, and the result equals that of ``float``.

    Args:
        digits: (width, n) uint8, one number per column, with 0 at the decimal point.
        is_dot: (width, n) bool, position of the decimal point.
    """
    width = len(digits)
    place_values = _POWERS_OF_TEN[:width][::-1]  # one per row of digits: 10^(width - 1), ..., 10, 1
    digits_value = place_values @ digits.astype(np.float64)  # an integer that has a 0 in place of the decimal point
    num_decimals = np.arange(width - 1, -1, -1, dtype=np.uint8) @ is_dot  # characters to the right of the dot
    # Only a token with several dots can have num_decimals > width. Such a token is invalid; its value is not used.
    scale = _POWERS_OF_TEN[np.minimum(num_decimals, width)]
    whole = np.floor(digits_value / (scale * 10.0))  # part before the decimal point
    # digits_value is whole * scale * 10 + decimals; the integer without the decimal point is whole * scale + decimals.
    mantissa = np.where(is_dot.any(axis=0), digits_value - whole * (scale * 9.0), digits_value)
    return mantissa / scale


def _common_decimals(values: np.ndarray) -> int | None:
    """Return the smallest number of decimals from 1 to 6 with which all values are exact; None if 6 are not enough."""
    flat = values.ravel()
    largest = np.abs(flat).max(initial=0.0)
    for decimals in range(1, 7):
        scale = 10.0**decimals
        if not largest * scale < 2.0**53:  # float64 cannot represent every integer above 2^53
            return None
        # The first 64 values are tested first: if the number of decimals is too small, this quick test usually fails.
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
    # Division is faster for 32-bit than for 64-bit integers.
    remaining = scaled.astype(np.uint32) if scaled.max(initial=0) < 1 << 32 else scaled
    column = characters.shape[1] - 1
    for place in range(characters.shape[1] - 2):  # from the last digit to the first
        if place == decimals:
            characters[:, column] = _DOT
            column -= 1
        quotient = remaining // 10
        digit = (remaining - quotient * 10 + _ZERO).astype(np.uint8)
        # The decimals and the units digit are always written. Digits to their left are not written if they are leading
        # zeros.
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
