"""The images of a split, each paired with its label file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.dota.folders import pair_images_and_labels
from rotated_atss.errors import UserError


@dataclass(frozen=True)
class SourceImage:
    """An image to split: its file, its label file, and the index of its image folder."""

    image: Path
    labels: Path | None
    folder: int

    @property
    def image_id(self) -> str:
        """The file name without its suffix."""
        return self.image.stem


def pair_folders(images: Sequence[str | Path], labels: Sequence[str | Path] | None) -> list[tuple[str, str | None]]:
    """Pair every image folder with its label folder, or with None for unlabeled images.

    Raises:
        UserError: There is no image folder, or not one label folder per image folder.

    Example:
        >>> pair_folders(["train/images"], ["train/labelTxt"])
        [('train/images', 'train/labelTxt')]
    """
    if not images:
        raise UserError("no image folder given", hint="give --images FOLDER")
    if labels is None:
        return [(Path(folder).as_posix(), None) for folder in images]
    if len(images) != len(labels):
        hint = "give one --labels per --images, in the same order, or none for unlabeled images"
        raise UserError(f"image and label folders must be paired, got {len(images)} and {len(labels)}", hint=hint)
    return [(Path(image).as_posix(), Path(label).as_posix()) for image, label in zip(images, labels)]


def find_source_images(
    folders: Sequence[tuple[str, str | None]], formats: Sequence[str | None] = ()
) -> list[SourceImage]:
    """List the images of all folders with their label files, sorted within each folder.

    Args:
        folders: Pairs of image and label folder, as :func:`pair_folders` returns them.
        formats: Label format per folder, ``dota`` if not given. Images are paired with files of the ``dota`` format
            only; for other formats ``labels`` is the folder or file of the labels.

    Raises:
        UserError: A folder is missing, an image or label file has no counterpart, or an image id occurs twice.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P1.png").touch()
        ...     [source.image_id for source in find_source_images([(folder, None)])]
        ['P1']
    """
    first_image: dict[str, Path] = {}
    sources = []
    for index, (image_folder, label_folder) in enumerate(folders):
        other = bool(formats) and formats[index] not in (None, "dota")
        for image, labels in pair_images_and_labels(image_folder, None if other else label_folder):
            first = first_image.setdefault(image.stem, image)
            if first is not image:
                hint = "tiles are named after the image id: rename or remove one of the images"
                raise UserError(f"the image id {image.stem} occurs twice, also as {first}", where=image, hint=hint)
            if other and label_folder is not None:
                labels = Path(label_folder)
            sources.append(SourceImage(image, labels, index))
    return sources
