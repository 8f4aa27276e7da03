"""Interface of an open image, read by windows as 8-bit color."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from rotated_atss.io.georeference import Georeference
from rotated_atss.io.png import Image

Access = Literal["memory", "tiles", "rows", "sequential"]


class ImageReader(ABC):
    """An open image. Use it as a context manager, in one process: workers open their own.

    Attributes:
        path: The file.
        width: Width in pixels, after the EXIF orientation is applied.
        height: Height in pixels, likewise.
        bands: Samples per pixel of the file, alpha included.
        dtype: Name of the NumPy type of a sample in the file, such as ``"uint16"``.
        georeference: Map position of the pixels; None if it is unknown.
        access: How windows are decoded. ``memory``: the image is decoded as a whole when it is opened. ``tiles``: a
            window decodes what it covers. ``rows``: a window decodes all columns of its rows, which are kept for the
            next window; read windows in ascending order of y_start. ``sequential``: as ``rows``, and the rows above are
            decoded first, so a second reader of the same file saves no time.
    """

    path: Path
    width: int
    height: int
    bands: int = 3
    dtype: str = "uint8"
    georeference: Georeference | None = None
    access: Access = "memory"

    @abstractmethod
    def read(self, window: Sequence[int] | None = None) -> Image:
        """Read a window as (h, w, 3) uint8, BGR.

        Args:
            window: x_start, y_start, x_stop, y_stop inside the image, pixels; None reads the whole image.

        Raises:
            UserError: The pixels cannot be read.
        """

    def close(self) -> None:  # noqa: B027 - nothing to release by default
        """Release the file."""

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
