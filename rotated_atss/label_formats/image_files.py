"""The images of a label set: their file names and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from rotated_atss.dota.folders import IMAGE_SUFFIXES, list_files
from rotated_atss.errors import UserError
from rotated_atss.io.images import image_size


class ImageFiles:
    """Image files of a folder by image id.

    Args:
        folder: The folder.
        paths: Image files by id. None lists the folder.
        skip_unreadable: Whether the reader of labels in map coordinates skips images that cannot be read instead of
            raising an error.

    Raises:
        UserError: The folder is missing or contains no image, or two images have the same id.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P1.png").touch()
        ...     ImageFiles(folder).path("P1").name
        'P1.png'
    """

    def __init__(
        self, folder: str | Path, paths: Mapping[str, Path] | None = None, *, skip_unreadable: bool = False
    ) -> None:
        self.folder, self.skip_unreadable = folder, skip_unreadable
        self.paths = self._list_images() if paths is None else dict(paths)
        self._read_size = cache(image_size)

    def _list_images(self) -> dict[str, Path]:
        paths: dict[str, Path] = {}
        for path in list_files(self.folder, IMAGE_SUFFIXES):
            first = paths.setdefault(path.stem, path)
            if first is not path:
                what = f"two images have the same name except for the suffix: {first.name} and {path.name}"
                raise UserError(what, where=self.folder, hint="remove one")
        if not paths:
            raise UserError(f"no images in this folder ({', '.join(IMAGE_SUFFIXES)})", where=self.folder)
        return paths

    def path(self, image_id: str, labels: object = None) -> Path:
        """Return the file of an image.

        Args:
            image_id: Name of the image without suffix.
            labels: Source of the labels, for the error message: a file, or words such as "the detections".

        Raises:
            UserError: There is no such image.
        """
        if image_id not in self.paths:
            raise UserError(f"no image {image_id}.*", where=self.folder, hint=f"its labels are in {labels}")
        return self.paths[image_id]

    def size(self, image_id: str) -> tuple[int, int] | None:
        """Return width and height of an image in pixels; None if there is no such image."""
        return self._read_size(self.paths[image_id]) if image_id in self.paths else None
