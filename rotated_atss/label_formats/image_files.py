"""The images of a label set: their file names and sizes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rotated_atss.dota.folders import IMAGE_SUFFIXES, list_files
from rotated_atss.errors import UserError
from rotated_atss.io.images import image_size


class ImageFiles:
    """Image files of a folder by image id.

    Args:
        folder: The folder.

    Raises:
        UserError: The folder is missing, holds no image, or two images have one id.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P1.png").touch()
        ...     ImageFiles(folder).path("P1").name
        'P1.png'
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder
        self.paths: dict[str, Path] = {}
        for path in list_files(folder, IMAGE_SUFFIXES):
            first = self.paths.setdefault(path.stem, path)
            if first is not path:
                what = f"two images have the same name, {first.name} and {path.name}"
                raise UserError(what, where=folder, hint="remove one")
        if not self.paths:
            raise UserError(f"no images in this folder ({', '.join(IMAGE_SUFFIXES)})", where=folder)
        self._size = cache(image_size)

    def path(self, image_id: str, labels: object = None) -> Path:
        """Return the file of an image. Raises UserError if there is none, naming the file of its labels."""
        if image_id not in self.paths:
            raise UserError(f"no image {image_id}.*", where=self.folder, hint=f"its labels are in {labels}")
        return self.paths[image_id]

    def size(self, image_id: str) -> tuple[int, int] | None:
        """Return width and height of an image in pixels; None if there is no such image."""
        return self._size(self.paths[image_id]) if image_id in self.paths else None
