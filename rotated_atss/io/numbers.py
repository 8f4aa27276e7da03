"""Conversion of float32 numbers to float64 numbers with a short decimal text."""

import numpy as np


def shortest_float64(values: np.ndarray) -> np.ndarray:
    """Convert each float32 to the float64 whose text is the shortest that reads back as the same float32.

    Example:
        >>> import numpy as np
        >>> scores = np.array([0.9], dtype=np.float32)
        >>> scores.astype(np.float64).tolist(), shortest_float64(scores).tolist()
        ([0.8999999761581421], [0.9])
    """
    return values.astype(np.str_).astype(np.float64) if len(values) else values.astype(np.float64)
