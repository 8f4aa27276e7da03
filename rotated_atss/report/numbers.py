"""Format the numbers of a report as text: ratios, counts, differences and intervals."""

from __future__ import annotations

UNDEFINED = "\u2013"  # en dash, shown for None
MINUS = "\u2212"  # unlike a hyphen, as wide as "+", so that numbers in tables are aligned


def format_ratio(value: float | None, digits: int = 3) -> str:
    """Format a ratio with a fixed number of decimals.

    Example:
        >>> format_ratio(0.87654), format_ratio(1), format_ratio(None) == UNDEFINED
        ('0.877', '1.000', True)
    """
    return UNDEFINED if value is None else _with_minus(f"{value:.{digits}f}")


def format_count(value: float | None) -> str:
    """Format a count with commas between thousands.

    Example:
        >>> format_count(12345), format_count(0), format_count(None) == UNDEFINED
        ('12,345', '0', True)
    """
    return UNDEFINED if value is None else _with_minus(f"{value:,.0f}")


def format_percent(value: float | None) -> str:
    """Format a ratio of at least 0 in percent.

    Example:
        >>> format_percent(0.1234), format_percent(1), format_percent(None) == UNDEFINED
        ('12.3 %', '100.0 %', True)
    """
    return UNDEFINED if value is None else f"{value:.1%}".replace("%", " %")


def format_signed_ratio(value: float | None, digits: int = 3) -> str:
    """Format a difference of ratios with its sign, or with ``±`` if it rounds to 0.

    Example:
        >>> format_signed_ratio(0.0213), format_signed_ratio(0.0001), format_signed_ratio(-0.5) == f"{MINUS}0.500"
        ('+0.021', '±0.000', True)
    """
    if value is None:
        return UNDEFINED
    text = f"{value:+.{digits}f}"
    rounds_to_zero = float(text) == 0
    return f"±{text[1:]}" if rounds_to_zero else _with_minus(text)


def format_signed_count(value: float | None) -> str:
    """Format a difference of counts with its sign, or with ``±`` if it is 0.

    Example:
        >>> format_signed_count(1200), format_signed_count(0), format_signed_count(-3) == f"{MINUS}3"
        ('+1,200', '±0', True)
    """
    if value is None:
        return UNDEFINED
    return "±0" if not value else _with_minus(f"{value:+,.0f}")


def format_lower_limit(name: str, limit: float | None, *, exclusive: bool = False) -> str:
    """Format a lower limit of a quantity as an inequality with non-breaking spaces.

    Args:
        name: Name of the quantity.
        limit: The limit; None if it is undefined.
        exclusive: If True, the quantity must be above the limit. If False, it can also equal the limit.

    Example:
        >>> format_lower_limit("IoU", 0.5).replace("\u00a0", " ")
        'IoU ≥ 0.5'
    """
    relation = ">" if exclusive else "≥"
    limit_text = UNDEFINED if limit is None else f"{limit:.4g}"
    return f"{name}\u00a0{relation}\u00a0{limit_text}"


def format_interval(low: float | None, high: float | None) -> str:
    """Format an interval; a bound that is None is infinite.

    Example:
        >>> format_interval(16, 32), format_interval(512.0, None), format_interval(None, 0.5)
        ('16 to 32', '512 and above', 'below 0.5')
    """
    if low is None and high is None:
        return "all"
    if low is None:
        return f"below {_format_bound(high)}"
    return f"{_format_bound(low)} and above" if high is None else f"{_format_bound(low)} to {_format_bound(high)}"


def _format_bound(value: float | None) -> str:
    return _with_minus(f"{value:.6g}")


def _with_minus(text: str) -> str:
    """Replace hyphens by minus signs."""
    return text.replace("-", MINUS)
