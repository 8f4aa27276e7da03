"""Find the images of a split and the label file of each image."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.dota.folders import list_label_files, pair_images_and_labels
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import read_bytes
from rotated_atss.label_formats.records import image_id_of


@dataclass(frozen=True)
class SourceImage:
    """An image to split.

    Attributes:
        image: The image file.
        label_path: In the DOTA format, the label file of the image. In other formats, the folder or file with the
            labels of all images. None for an unlabeled image.
        folder_index: Index of the image folder.
    """

    image: Path
    label_path: Path | None
    folder_index: int

    @property
    def image_id(self) -> str:
        """The file name without its suffix."""
        return self.image.stem


def pair_folders(
    image_folders: Sequence[str | Path], label_folders: Sequence[str | Path] | None
) -> list[tuple[str, str | None]]:
    """Pair every image folder with its label folder, or with None for unlabeled images.

    Raises:
        UserError: There is no image folder, or the numbers of image folders and label folders differ.

    Example:
        >>> pair_folders(["train/images"], ["train/labelTxt"])
        [('train/images', 'train/labelTxt')]
    """
    if not image_folders:
        raise UserError("no image folder given", hint="give --images FOLDER")
    if label_folders is None:
        return [(Path(folder).as_posix(), None) for folder in image_folders]
    if len(image_folders) != len(label_folders):
        hint = "give one --labels per --images, in the same order, or none for unlabeled images"
        got = f"got {len(image_folders)} and {len(label_folders)}"
        raise UserError(f"image and label folders must be paired, {got}", hint=hint)
    return [(Path(images).as_posix(), Path(labels).as_posix()) for images, labels in zip(image_folders, label_folders)]


def read_image_lists(paths: Sequence[str | Path]) -> dict[str, str]:
    r"""Read lists of images: text files with the name of one image per line, such as the ``ImageSets`` of a dataset.

    Args:
        paths: The files. From a line such as ``train/P0001.png 3``, only the image id ``P0001`` is used.

    Returns:
        By image id, the first place at which the image is listed, as ``path:line``.

    Raises:
        UserError: A file cannot be read, is not UTF-8 text, or names no image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "train.txt").write_text("00001\n00002.jpg\n")
        ...     list(read_image_lists([Path(folder, "train.txt")]))
        ['00001', '00002']
    """
    places: dict[str, str] = {}
    for path in paths:
        try:
            lines = read_bytes(path).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise UserError("the list of images is not UTF-8 text", where=path) from None
        name_lines = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not name_lines:
            raise UserError("no image is listed", where=path, hint="write one name per line")
        for number, line in name_lines:
            image_name = line.split()[0]
            places.setdefault(image_id_of(image_name), f"{path}:{number}")
    return places


def find_source_images(
    folders: Sequence[tuple[str, str | None]],
    formats: Sequence[str | None] = (),
    listed: Mapping[str, str] | None = None,
    *,
    labeled_only: bool = False,
) -> list[SourceImage]:
    """List the images of all folders with their label files, sorted within each folder.

    Args:
        folders: Pairs of image and label folder, as :func:`pair_folders` returns them.
        formats: Label format per folder; empty if all formats are ``dota``. Only in this format is each image paired
            with a label file.
        listed: Images to select, as :func:`read_image_lists` returns them; None selects all images.
        labeled_only: In the ``dota`` format, leave out images without a label file instead of raising an error. In
            other formats, all images are returned, because only the content of the labels shows which are unlabeled.

    Raises:
        UserError: A folder is missing, an image or label file has no counterpart, an image id occurs twice, or a
            listed image is in no folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P1.png").touch()
        ...     [source.image_id for source in find_source_images([(folder, None)])]
        ['P1']
    """
    image_by_id: dict[str, Path] = {}
    sources = []
    for index, (image_folder, label_folder) in enumerate(folders):
        is_dota = not formats or formats[index] in (None, "dota")  # the format of unlabeled images is None
        accepted_ids: Container[str] | None = listed
        if labeled_only and label_folder is not None and is_dota:
            labeled_ids = {path.stem for path in list_label_files(label_folder)}
            accepted_ids = labeled_ids if listed is None else labeled_ids & set(listed)
        dota_folder = label_folder if is_dota else None
        for image, label_path in pair_images_and_labels(image_folder, dota_folder, accepted_ids):
            first = image_by_id.setdefault(image.stem, image)
            if first is not image:  # the id is that of an earlier image
                hint = "tiles are named after the image id: rename or remove one of the images"
                raise UserError(f"the image id {image.stem} occurs twice, also as {first}", where=image, hint=hint)
            if not is_dota and label_folder is not None:
                label_path = Path(label_folder)
            sources.append(SourceImage(image, label_path, index))
    for image_id, place in (listed or {}).items():
        # with labeled_only, a listed image is not missing if it was left out because it has no labels
        if image_id not in image_by_id and not labeled_only:
            folders_text = ", ".join(folder for folder, _ in folders)
            raise UserError(f"no image {quote(image_id)} in {folders_text}", where=place)
    return sources
