"""Control of OpenCV's own log output."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

# The functions that set the log level are in cv2.utils.logging or, in some builds of OpenCV 4, in cv2 itself.
_logging: Any = getattr(cv2.utils, "logging", cv2)
_SILENT = 0  # LOG_LEVEL_SILENT of OpenCV


@contextmanager
def silent_opencv() -> Iterator[None]:
    """Suppress OpenCV's log output, so that a damaged file causes one message only: this package's error.

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
