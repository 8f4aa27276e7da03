"""Conversion of float32 values to float64 values that print with few decimal digits."""

import numpy as np


def shortest_float64(values: np.ndarray) -> np.ndarray:
    """Convert float32 values to float64 values that print with as few decimal digits as the float32 values do.

    Scores are then as short as possible in text files, and read back as the same float32.

    Args:
        values: float32 array of any shape.

    Returns:
        float64 array of the same shape.

    Example:
        >>> import numpy as np
        >>> scores = np.array([0.9], dtype=np.float32)
        >>> scores.astype(np.float64).tolist(), shortest_float64(scores).tolist()
        ([0.8999999761581421], [0.9])
    """
    return values.astype(np.str_).astype(np.float64)
