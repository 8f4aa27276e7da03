"""Values that JSON can represent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def replace_nonfinite(value: Any) -> Any:
    """Replace NaN and infinity by None, also inside lists and dictionaries; tuples become lists.

    JSON cannot represent NaN, which is, for example, the AP of a class without objects.

    Example:
        >>> replace_nonfinite({"AP50": float("nan"), "AP": [0.5, float("inf")]})
        {'AP50': None, 'AP': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {name: replace_nonfinite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [replace_nonfinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
