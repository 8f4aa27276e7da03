"""Control of OpenCV's own log output."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def silent_opencv() -> Iterator[None]:
    """Suppress OpenCV's log output, so that this package's error is the only message about a bad file.

    Example:
        >>> import numpy as np
        >>> with silent_opencv():
        ...     cv2.imdecode(np.zeros(9, np.uint8), cv2.IMREAD_COLOR) is None
        True
    """
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
