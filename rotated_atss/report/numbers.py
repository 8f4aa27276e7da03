"""Format the numbers of a report as text: ratios, counts, differences and intervals."""

from __future__ import annotations

UNDEFINED = "\u2013"  # en dash, the text of None
MINUS = "\u2212"  # as wide as "+" in tables


def ratio(value: float | None, digits: int = 3) -> str:
    """Return a ratio as text with a fixed number of decimals.

    Example:
        >>> ratio(0.87654), ratio(1), ratio(None) == UNDEFINED
        ('0.877', '1.000', True)
    """
    return UNDEFINED if value is None else _with_minus(f"{value:.{digits}f}")


def count(value: float | None) -> str:
    """Return a count as text with commas between thousands.

    Example:
        >>> count(12345), count(0), count(None) == UNDEFINED
        ('12,345', '0', True)
    """
    return UNDEFINED if value is None else _with_minus(f"{value:,.0f}")


def percent(value: float | None) -> str:
    """Return a ratio as text in percent.

    Example:
        >>> percent(0.1234), percent(1), percent(None) == UNDEFINED
        ('12.3 %', '100.0 %', True)
    """
    return UNDEFINED if value is None else f"{value:.1%}".replace("%", " %")


def signed_ratio(value: float | None, digits: int = 3) -> str:
    """Return a difference of ratios as text with its sign.

    Example:
        >>> signed_ratio(0.0213), signed_ratio(0.0001), signed_ratio(-0.5) == f"{MINUS}0.500"
        ('+0.021', '±0.000', True)
    """
    if value is None:
        return UNDEFINED
    text = f"{value:+.{digits}f}"
    return f"±{text[1:]}" if not float(text) else _with_minus(text)


def signed_count(value: float | None) -> str:
    """Return a difference of counts as text with its sign.

    Example:
        >>> signed_count(1200), signed_count(0), signed_count(-3) == f"{MINUS}3"
        ('+1,200', '±0', True)
    """
    if value is None:
        return UNDEFINED
    return "±0" if not value else _with_minus(f"{value:+,.0f}")


def at_least(name: str, value: float | None, *, above: bool = False) -> str:
    """Return the condition of a lower limit as text, with non-breaking spaces.

    Args:
        name: Name of the value to which the condition applies.
        value: The limit.
        above: Whether the value must be above the limit; otherwise it can be equal to it.

    Example:
        >>> at_least("IoU", 0.5).replace("\u00a0", " ")
        'IoU ≥ 0.5'
    """
    return f"{name}\u00a0{'>' if above else '≥'}\u00a0{UNDEFINED if value is None else format(value, '.4g')}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval as text; an end that is None is unbounded.

    Example:
        >>> interval(16, 32), interval(512.0, None), interval(None, 0.5)
        ('16 to 32', '512 and above', 'below 0.5')
    """
    if low is None and high is None:
        return "all"
    if low is None:
        return f"below {_short(high)}"
    return f"{_short(low)} and above" if high is None else f"{_short(low)} to {_short(high)}"


def _short(value: float | None) -> str:
    return _with_minus(f"{value:.6g}")


def _with_minus(text: str) -> str:
    return text.replace("-", MINUS)
