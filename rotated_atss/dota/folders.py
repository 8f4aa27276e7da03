"""List the images and label files of a DOTA folder, and pair them."""

from pathlib import Path

from rotated_atss.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def list_images(folder: str | Path) -> list[Path]:
    """The image files of ``folder``, sorted by name.

    Raises:
        UserError: The folder is missing, holds no image, or holds two images of one stem (``P1.png`` and ``P1.jpg``).
    """
    images = list_files(folder, IMAGE_SUFFIXES)
    if not images:
        raise UserError(f"no images here ({', '.join(IMAGE_SUFFIXES)})", where=folder)
    by_stem: dict[str, Path] = {}
    for image in images:
        other = by_stem.setdefault(image.stem, image)
        if other is not image:
            raise UserError(
                f"two images share one name, {other.name} and {image.name}", where=folder, hint="remove one"
            )
    return images


def list_label_files(folder: str | Path) -> list[Path]:
    """The ``.txt`` files of ``folder``, sorted by name. Raises UserError where the folder is missing."""
    return list_files(folder, (".txt",))


def pair_images_and_labels(images: str | Path, labels: str | Path | None) -> list[tuple[Path, Path | None]]:
    """Every image of the folder ``images`` with its label file of the folder ``labels``, sorted by name.

    Args:
        labels: None for a test set: then every image is paired with None.

    Raises:
        UserError: A folder is missing or has no images, or an image or a label file stands alone.
    """
    paths = list_images(images)
    if labels is None:
        return [(path, None) for path in paths]
    by_stem = {path.stem: path for path in list_label_files(labels)}
    alone = [path.name for path in paths if path.stem not in by_stem]
    if alone:
        raise UserError(f"no label file for {_some(alone, 'image')}", where=labels, hint=f"images are in {images}")
    stems = {path.stem for path in paths}
    alone = [path.name for stem, path in by_stem.items() if stem not in stems]
    if alone:
        raise UserError(f"no image for {_some(alone, 'label file')}", where=images, hint=f"labels are in {labels}")
    return [(path, by_stem[path.stem]) for path in paths]


def _some(names: list[str], kind: str) -> str:
    rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the {kind} {names[0]}{rest}"


def list_files(folder: str | Path, suffixes: tuple[str, ...]) -> list[Path]:
    """List the files of ``folder`` with one of ``suffixes``, sorted by name; hidden files are left out.

    Raises:
        UserError: The folder is missing or not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder" if not folder.exists() else "not a folder", where=folder)
    files = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith("."))
    return sorted((path for path in files if path.is_file()), key=lambda path: path.name)
