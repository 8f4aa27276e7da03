"""Find the image files of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rotated_atss.dota.folders import IMAGE_SUFFIXES, list_files


def find_images_by_id(ids: Iterable[str], folders: Sequence[str | Path]) -> dict[str, Path]:
    """Find the image files of image ids in folders.

    Args:
        ids: Image ids: names without suffix, or paths below a folder as in COCO's ``file_name``.
        folders: Folders of images; the first that has an image counts.

    Returns:
        Paths by image id, of the images that are there.

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
    found = {image: _find_below(image, folders) or by_stem.get(image) for image in ids}
    return {image: path for image, path in found.items() if path is not None}


def _find_below(image: str, folders: Sequence[str | Path]) -> Path | None:
    """Return the file of an id that is a path; None if there is none below the folders."""
    if Path(image).is_absolute() or ".." in Path(image).parts or Path(image).suffix.lower() not in IMAGE_SUFFIXES:
        return None
    paths = (Path(folder, image) for folder in folders)
    return next((path for path in paths if path.is_file()), None)
