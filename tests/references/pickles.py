"""A pickle that runs code, for tests of loading checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class Trap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.mkdir, (str(self.path),)
