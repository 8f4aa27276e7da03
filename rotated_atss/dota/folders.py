"""List the images and the label files of folders, and pair each image with its label file."""

from collections.abc import Container
from pathlib import Path

from rotated_atss.dota._fields import MAX_FIELD_BYTES
from rotated_atss.errors import UserError, count_of, first_of, printable, quote

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".jp2", ".j2k")
_MOSAIC_SUFFIXES = (".vrt",)
# Formats of image files that list_images skips. It does not skip mosaics (.vrt) if a folder has no other images.
_SKIPPED_SUFFIXES = (
    *(".gif", ".webp", ".jpe", ".jfif", ".heic", ".avif", ".img", ".ecw", ".sid", ".vrt", ".dib"),
    *(".pgm", ".ppm", ".pbm", ".exr", ".hdr", ".svg", ".psd", ".nitf", ".ntf"),
)

IMAGES = "images"  # subfolder of a folder of tiles
# Subfolders in which a command looks for tiles if the given folder has none, in this order.
TRAIN_SUBSETS, TEST_SUBSETS = ("trainval", "train"), ("val", "test")

_MAX_LISTED_NAMES = 5  # maximum number of file names in a message


def list_images(folder: str | Path) -> list[Path]:
    """List the image files of a folder, sorted by name.

    VRT files, which usually are mosaics of other images, are listed only if there is no other image.

    Raises:
        UserError: The folder is missing or contains no image, two images differ only in suffix or case (``P1.png`` and
            ``P1.jpg`` or ``p1.png``), or a name cannot be an image id (:func:`check_image_name`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P0001.png").touch()
        ...     [path.name for path in list_images(folder)]
        ['P0001.png']
    """
    images = list_files(folder, IMAGE_SUFFIXES) or list_files(folder, _MOSAIC_SUFFIXES)
    if not images:
        raise UserError(f"no images in this folder ({', '.join(IMAGE_SUFFIXES)})", where=folder)
    for image in images:
        check_image_name(image.stem, folder)
    _reject_duplicate_stems(images, "images")
    return images


def _reject_duplicate_stems(paths: list[Path], kind: str) -> None:
    """Raise an error if two files of a folder differ only in their suffix or in the case of their name."""
    by_stem: dict[str, Path] = {}
    for path in paths:
        first = by_stem.setdefault(path.stem.casefold(), path)
        if first is not path:
            message = f"two {kind} have the same name, {first.name} and {path.name}"
            raise UserError(message, where=path.parent, hint="remove one")


def check_image_name(name: str, where: object = None) -> None:
    """Raise an error if the name of an image cannot be an image id in DOTA's text files.

    Args:
        name: Name of the image, without suffix.
        where: Folder of the image, for the error.

    Raises:
        UserError: The name has white space or other characters that are not printable, is not Unicode, or is too long.

    Example:
        >>> check_image_name("P0001")
        >>> check_image_name("harbor 1")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: the image name 'harbor 1' has a space or a control character (rename ...
    """
    if not name or name.split() != [name] or not name.isprintable():
        what = f"the image name {quote(name)} has a space or a control character"
        raise UserError(what, where=where, hint="rename the image, because spaces separate the fields of result files")
    if len(name.encode()) > MAX_FIELD_BYTES:
        raise UserError(f"the image name {quote(name)} is too long", where=where, hint="rename the image")


def skipped_images(folder: str | Path) -> list[str]:
    """Return the sorted names of the image files that :func:`list_images` skips because of their format.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.webp", "b.png", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     skipped_images(folder)
        ['a.webp']
    """
    # A broken link must not raise an error here, because the files are not read.
    skipped = list_files(folder, _SKIPPED_SUFFIXES, broken_links=True)
    mosaics_are_read = not list_files(folder, IMAGE_SUFFIXES, broken_links=True)
    if mosaics_are_read:
        skipped = [path for path in skipped if path.suffix.lower() not in _MOSAIC_SUFFIXES]
    return [path.name for path in skipped]


def note_skipped_images(folder: str | Path) -> list[str]:
    """Return a list with one message about the files of :func:`skipped_images`, or an empty list if there are none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.webp", "b.gif"):
        ...         Path(folder, name).touch()
        ...     note_skipped_images(folder)[0].removeprefix(folder)
        ': 2 files are not read: a.webp, b.gif (supported formats: ...)'
    """
    names = skipped_images(folder)
    if not names:
        return []
    more = f" and {len(names) - _MAX_LISTED_NAMES} more" if len(names) > _MAX_LISTED_NAMES else ""
    listed = printable(", ".join(names[:_MAX_LISTED_NAMES]))
    verb = "is" if len(names) == 1 else "are"
    supported = ", ".join(IMAGE_SUFFIXES)
    return [
        f"{folder}: {count_of(len(names), 'file')} {verb} not read: {listed}{more} (supported formats: {supported})"
    ]


def list_label_files(folder: str | Path) -> list[Path]:
    """List the ``.txt`` files of a folder, sorted by name.

    Raises:
        UserError: The folder is missing, or two files differ only in case (``P1.txt`` and ``P1.TXT`` or ``p1.txt``).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P0001.txt").touch()
        ...     [path.name for path in list_label_files(folder)]
        ['P0001.txt']
    """
    files = list_files(folder, (".txt",))
    _reject_duplicate_stems(files, "text files")
    return files


def list_files(folder: str | Path, suffixes: tuple[str, ...], *, broken_links: bool = False) -> list[Path]:
    """List the files of a folder that have one of the suffixes, sorted by name, without hidden files.

    Args:
        folder: Folder to list; subfolders are not searched.
        suffixes: Lower-case suffixes with their dot; the case of file names is ignored.
        broken_links: If True, links to missing files are listed, too. If False, they raise an error.

    Raises:
        UserError: The folder is missing or not a folder, or it contains a link to a missing file (unless
            ``broken_links`` is True).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.PNG", "a.png", ".a.png", "a.txt"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in list_files(folder, (".png",))]
        ['a.png', 'b.PNG']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder" if not folder.exists() else "not a folder", where=folder)
    files = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith("."))
    try:
        return sorted((path for path in files if _is_file(path, broken_links)), key=lambda path: path.name)
    except OSError as error:  # for example, a link that points to itself
        raise UserError(f"cannot read: {error.strerror or error}", where=error.filename or folder) from error


def _is_file(path: Path, broken_links: bool) -> bool:
    """Return whether a path is a file or a link to a file.

    For a link to a missing file, the result is True with ``broken_links``, and an error is raised without it.
    """
    if path.is_file():
        return True
    if path.is_symlink() and not path.exists():
        if broken_links:
            return True
        raise UserError("the link has no target", where=path, hint="restore the file that it names, or remove the link")
    return False


def pair_images_and_labels(
    images: str | Path, labels: str | Path | None, only: Container[str] | None = None
) -> list[tuple[Path, Path | None]]:
    """Pair the images of one folder with the label files of another, sorted by name.

    Args:
        images: Folder of images.
        labels: Folder of label files. If None, every image is paired with None.
        only: Names, without suffix, of the images to pair; other images and label files are left out. None pairs all.

    Raises:
        UserError: A folder is missing or contains no image, an image has no label file, or a label file has no image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "P0001.png").touch()
        ...     Path(folder, "P0001.txt").touch()
        ...     [(image.name, label.name) for image, label in pair_images_and_labels(folder, folder)]
        [('P0001.png', 'P0001.txt')]
    """
    image_paths = [path for path in list_images(images) if only is None or path.stem in only]
    if labels is None:
        return [(path, None) for path in image_paths]
    label_paths = [path for path in list_label_files(labels) if only is None or path.stem in only]
    labels_by_stem = {path.stem: path for path in label_paths}
    unlabeled = [path.name for path in image_paths if path.stem not in labels_by_stem]
    if unlabeled:
        message = f"no label file for the image {first_of(unlabeled)}"
        raise UserError(message, where=labels, hint=f"images are in {images}")
    image_stems = {path.stem for path in image_paths}
    without_image = [path.name for stem, path in labels_by_stem.items() if stem not in image_stems]
    if without_image:
        message = f"no image for the label file {first_of(without_image)}"
        raise UserError(message, where=images, hint=f"labels are in {labels}")
    return [(path, labels_by_stem[path.stem]) for path in image_paths]


def find_tiles(folder: str | Path, subsets: tuple[str, ...]) -> Path:
    """Return ``folder`` if it is a folder of tiles; otherwise, its first subfolder of tiles among ``subsets``.

    A folder of tiles is recognized by its subfolder :data:`IMAGES`. If none is found, the result is ``folder``.

    Args:
        folder: Folder of tiles that ``rotated-atss split`` has written, or a folder that contains such folders.
        subsets: Names of subfolders, such as :data:`TEST_SUBSETS`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "train", "images").mkdir(parents=True)
        ...     find_tiles(folder, TRAIN_SUBSETS).name
        'train'
    """
    candidates = [Path(folder), *(Path(folder, name) for name in subsets)]
    return next((candidate for candidate in candidates if (candidate / IMAGES).is_dir()), Path(folder))


def missing_tiles_error(folder: str | Path, missing: str | Path) -> UserError:
    """Create the error for a folder without tiles. If its subfolders are folders of tiles, the hint names them.

    Args:
        folder: Data folder.
        missing: Folder in it that does not exist.

    Example:
        >>> str(missing_tiles_error("data", "data/images"))
        'data/images: no such folder (make tiles with rotated-atss split, or choose a folder of tiles: --data DIR)'
    """
    subsets = sorted(path.parent for path in Path(folder).glob(f"*/{IMAGES}") if path.is_dir())
    hint = "make tiles with rotated-atss split, or choose a folder of tiles: --data DIR"
    if subsets:
        hint = f"choose a subset: --data {' or '.join(map(str, subsets[:3]))}"
    return UserError("no such folder", where=missing, hint=hint)
