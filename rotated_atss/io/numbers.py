"""Numbers whose text is short."""

import numpy as np


def shortest_float64(scores: np.ndarray) -> np.ndarray:
    """Convert float32 to the float64 with the shortest text that reads back as the same float32.

    Example:
        >>> import numpy as np
        >>> scores = np.array([0.9], dtype=np.float32)
        >>> scores.astype(np.float64).tolist(), shortest_float64(scores).tolist()
        ([0.8999999761581421], [0.9])
    """
    return scores.astype(np.str_).astype(np.float64) if len(scores) else scores.astype(np.float64)
