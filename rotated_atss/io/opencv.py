"""OpenCV without its own lines on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def silent_opencv() -> Iterator[None]:
    """Keep what OpenCV says about a bad file to itself: our error says it."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
