"""Control of OpenCV's own log output."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

# The functions are in cv2.utils.logging or, in other builds of OpenCV 4, in cv2 itself.
_logging: Any = getattr(cv2.utils, "logging", cv2)
_SILENT = 0  # log level LOG_LEVEL_SILENT


@contextmanager
def silent_opencv() -> Iterator[None]:
    """Suppress OpenCV's log output, so that this package's error is the only message about a bad file.

    Example:
        >>> import numpy as np
        >>> with silent_opencv():
        ...     cv2.imdecode(np.zeros(9, np.uint8), cv2.IMREAD_COLOR) is None
        True
    """
    level = _logging.getLogLevel()
    _logging.setLogLevel(_SILENT)
    try:
        yield
    finally:
        _logging.setLogLevel(level)
