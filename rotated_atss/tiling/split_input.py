"""Read the input of a split: the list of images and all labels, before any image is split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path

from rotated_atss.dota.classes import resolve_classes
from rotated_atss.dota.labels import Labels
from rotated_atss.errors import UserError
from rotated_atss.tiling.source_images import SourceImage, find_source_images, read_image_lists
from rotated_atss.tiling.source_labels import find_label_format, read_source_labels


@dataclass(frozen=True)
class SplitInput:
    """Images to split, with their labels.

    Attributes:
        folders: Pairs (image folder, label folder or label file). The second item is None for unlabeled images.
        formats: Label format per pair of folders; None for unlabeled images.
        sources: The images of all folders, in the order of the folders.
        labels_per_image: Labels per image; None for unlabeled images.
        has_renamed_classes: Whether classes were renamed by a class map.
    """

    folders: Sequence[tuple[str, str | None]]
    formats: Sequence[str | None]
    sources: Sequence[SourceImage]
    labels_per_image: Sequence[Labels | None]
    has_renamed_classes: bool

    def pairs(self) -> Iterator[tuple[SourceImage, Labels | None]]:
        """Return an iterator of pairs (image, labels of the image)."""
        return zip(self.sources, self.labels_per_image, strict=True)

    def select(self, keep: Sequence[bool]) -> SplitInput:
        """Return a copy with the images for which ``keep`` is True."""
        sources, labels_per_image = list(compress(self.sources, keep)), list(compress(self.labels_per_image, keep))
        return replace(self, sources=sources, labels_per_image=labels_per_image)


def read_split_input(
    folders: Sequence[tuple[str, str | None]],
    label_format: str,
    *,
    classes: str | Sequence[str] | None = None,
    class_map: Mapping[str, str] | None = None,
    fit_polygons: bool = False,
    image_lists: Sequence[str | Path] | None = None,
    labeled_only: bool = False,
    class_column: str | None = None,
    class_name: str | None = None,
) -> SplitInput:
    """List the images and read all labels, so that a malformed line is reported before the images are split.

    Args:
        folders: Pairs of image folder and label folder, as :func:`rotated_atss.tiling.source_images.pair_folders`
            returns them.
        label_format: Format of the labels, or ``auto``.
        classes: Accepted class names, or a string for :func:`rotated_atss.dota.classes.resolve_classes`, such as a DOTA
            version (``"v1.0"``); None accepts any name.
        class_map: New class name by old name.
        fit_polygons: Replace polygons without four corners by their minimum-area rectangles.
        image_lists: Text files that name the images to split.
        labeled_only: Leave out images without labels, if the folders have labels.
        class_column: Column with the class, for labels in map coordinates.
        class_name: Class of all objects, for labels in map coordinates.

    Raises:
        UserError: A folder, an image or a label file is missing, a label is malformed, or a class is unknown.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P1.png").touch()
        ...     [source.image_id for source in read_split_input([(folder, None)], "auto").sources]
        ['P1']
    """
    formats = [None if path is None else find_label_format(path, label_format) for _, path in folders]
    listed = None if image_lists is None else read_image_lists(image_lists)
    sources = find_source_images(folders, formats, listed, labeled_only=labeled_only)
    read_folder_labels = partial(
        read_source_labels, classes=None if classes is None else resolve_classes(classes), class_map=class_map,
        fit_polygons=fit_polygons, skip_other_images=listed is not None, labeled_only=labeled_only,
        class_column=class_column, class_name=class_name,
    )  # fmt: skip
    labels_per_image: list[Labels | None] = []
    for index, ((image_folder, label_path), format_name) in enumerate(zip(folders, formats, strict=True)):
        folder_sources = [source for source in sources if source.folder_index == index]
        if label_path is None or format_name is None:
            labels_per_image += [None] * len(folder_sources)
        else:
            labels_per_image += read_folder_labels(folder_sources, image_folder, label_path, format_name)
    data = SplitInput(folders, formats, sources, labels_per_image, class_map is not None)
    is_labeled = folders[0][1] is not None  # all folders have labels, or none has
    return _select_labeled(data) if labeled_only and is_labeled else data


def _select_labeled(data: SplitInput) -> SplitInput:
    """Select the images with labels; raise an error if there are none."""
    labeled = data.select([labels is not None for labels in data.labels_per_image])
    if not labeled.sources:
        image_folder, label_folder = data.folders[0]
        raise UserError("no image has labels", where=image_folder, hint=f"labels are in {label_folder}")
    return labeled
