"""Find the image files of evaluated images, for the pictures of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rotated_atss.dota.folders import IMAGE_SUFFIXES, list_files


def find_images_by_id(ids: Iterable[str], folders: Sequence[str | Path]) -> dict[str, Path]:
    """Search folders for the image files that belong to image ids.

    Args:
        ids: Image ids. An id is a file name without suffix, or, as in COCO's ``file_name``, a path relative to one of
            the folders.
        folders: Folders of images. If several contain an image, the file in the first folder is used.

    Returns:
        Path of the image file by image id. Ids without a file are left out.

    Raises:
        UserError: A folder is missing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P1.png").touch()
        ...     sorted(find_images_by_id(["P1", "P2"], [folder]))
        ['P1']
    """
    by_stem: dict[str, Path] = {}
    for folder in folders:
        for path in list_files(folder, IMAGE_SUFFIXES):
            by_stem.setdefault(path.stem, path)
    paths = {image_id: _find_relative(image_id, folders) or by_stem.get(image_id) for image_id in ids}
    return {image_id: path for image_id, path in paths.items() if path is not None}


def _find_relative(image_id: str, folders: Sequence[str | Path]) -> Path | None:
    """Return the file whose path relative to one of the folders is the image id; None if there is no such file.

    None is also returned if the path leads out of the folder, or if its suffix is not that of an image file.
    """
    relative = Path(image_id)
    if relative.is_absolute() or ".." in relative.parts or relative.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    paths = (Path(folder, relative) for folder in folders)
    return next((path for path in paths if path.is_file()), None)
