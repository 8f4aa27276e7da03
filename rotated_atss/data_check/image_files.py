"""Check single image files: read header and pixels, and compute the hashes by which copies are found."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rotated_atss.data_check.problems import Problem
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes
from rotated_atss.io.image_header import ImageHeader, UnreadableImageError, check_header, read_header
from rotated_atss.io.image_reader import open_image
from rotated_atss.io.quiet import captured_stderr

# libjpeg decodes damaged files without an error, and writes one of these messages to stderr.
_DAMAGE_MESSAGE = re.compile("Corrupt JPEG data|Premature end of JPEG|Invalid JPEG")
_STRIP_BYTES = 64 << 20  # decoded bytes of one strip of rows; strips are hashed one by one to limit the memory
_SUFFIXES = {  # file format -> accepted suffixes, the preferred one first
    "PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff"), "BMP": (".bmp",), "WebP": (".webp",),
    "GIF": (".gif",), "JPEG 2000": (".jp2", ".j2k"),
}  # fmt: skip
# first bytes of files whose header is not parsed, and their format
_SIGNATURES = ((b"GIF8", "GIF"), (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"))


@dataclass(frozen=True)
class ImageReport:
    """Result of checking an image file.

    Attributes:
        path: The file.
        size: Width and height in pixels; None if the image cannot be read.
        suffix: Suffix that fits the content of the file, such as ``.png`` if a ``.jpg`` file contains a PNG. Empty if
            the image cannot be read.
        bytes_hash: Hash of the file; empty if it cannot be read.
        pixels_hash: Hash of the size and of the pixels, converted to 8-bit color; empty if they were not decoded.
        is_uniform: Whether all pixels have the same color; False if they were not decoded.
        problems: Problems of the file.
    """

    path: Path
    size: tuple[int, int] | None = None
    suffix: str = ""
    bytes_hash: str = ""
    pixels_hash: str = ""
    is_uniform: bool = False
    problems: tuple[Problem, ...] = ()


def read_image_file(path: Path, *, decode: bool = True) -> ImageReport:
    """Check and hash an image file.

    Args:
        path: The file.
        decode: Decode the pixels. Otherwise ``pixels_hash`` is empty and damaged pixels are not found. An image in
            a format whose header is not parsed is always decoded.

    Example:
        >>> import tempfile
        >>> from rotated_atss.io.images import encode_image
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.jpg").write_bytes(encode_image(np.zeros((2, 3, 3), np.uint8), "png"))
        ...     report = read_image_file(Path(folder, "a.jpg"))
        >>> report.size, report.suffix, [problem.kind for problem in report.problems]
        ((3, 2), '.png', ['wrong-suffix', 'uniform-image'])
    """
    try:
        bytes_hash = _hash_file(path)
    except OSError as error:
        problem = Problem("unreadable-image", str(path), f"cannot be read: {error.strerror}")
        return ImageReport(path, problems=(problem,))
    try:
        header = read_header(path)
        size = None if header is None else (header.width, header.height)
        pixels_hash, is_uniform, damage = "", False, ""
        if decode or header is None:
            with captured_stderr() as stderr_lines:
                size, pixels_hash, is_uniform = _hash_pixels(path)
            damage = next((line for line in stderr_lines if _DAMAGE_MESSAGE.match(line)), "")
        else:
            check_header(path)
    except UserError as error:
        problem = Problem.from_error(_error_kind(path, error), error)
        return ImageReport(path, bytes_hash=bytes_hash, problems=(problem,))
    suffix, problems = _check_suffix(path, header)
    if damage:
        problems.append(Problem("damaged-pixels", str(path), f"the decoder reports: {damage}"))
    if is_uniform:
        problems.append(Problem("uniform-image", str(path), "all pixels have the same color"))
    return ImageReport(path, size, suffix, bytes_hash, pixels_hash, is_uniform, tuple(problems))


def place_image(image: ImageReport, target: Path, *, copy: bool) -> None:
    """Create a link to an image, or copy it if ``copy`` is set or the file system has no links.

    Args:
        image: The image.
        target: Path of the link or the copy; its folder is created if missing.
        copy: Copy the file instead of linking to it.

    Raises:
        UserError: ``target`` exists.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.png").write_bytes(b"pixels")
        ...     place_image(ImageReport(Path(folder, "a.png")), Path(folder, "copy", "a.png"), copy=False)
        ...     Path(folder, "copy", "a.png").read_bytes()
        b'pixels'
    """
    if os.path.lexists(target):
        what = f"two images of the cleaned copy have the name {target.name}"
        raise UserError(what, where=image.path, hint="rename one of them")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not copy:
        try:
            target.symlink_to(image.path.resolve())
            return
        except OSError:  # a file system without links
            pass
    shutil.copyfile(image.path, target)


def _error_kind(path: Path, error: UserError) -> str:
    """Return the kind of problem of an image that could not be read."""
    if not isinstance(error, UnreadableImageError):
        return "unsupported-image"
    try:
        header = read_header(path)
    except UserError:
        header = None
    return "truncated-image" if header is not None and header.truncated else "unreadable-image"


def _hash_file(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _hash_pixels(path: Path) -> tuple[tuple[int, int], str, bool]:
    """Return the size of an image, the hash of its pixels, and whether all pixels have the same color."""
    with open_image(path) as image:
        digest = hashlib.blake2b(f"{image.width}x{image.height}".encode(), digest_size=16)
        num_rows = max(1, _STRIP_BYTES // (3 * image.width))
        first_color, is_uniform = None, True
        for strip in image.iter_rows(num_rows):
            first_color = strip[0, 0].copy() if first_color is None else first_color
            # In most images, the first 64 pixels already differ, so the comparison of all pixels is rarely needed.
            is_uniform = is_uniform and bool((strip[0, :64] == first_color).all() and (strip == first_color).all())
            digest.update(np.ascontiguousarray(strip).data)
        return (image.width, image.height), digest.hexdigest(), is_uniform


def _check_suffix(path: Path, header: ImageHeader | None) -> tuple[str, list[Problem]]:
    """Return the suffix that fits the content of a file, and a problem if the file has another suffix."""
    file_format = _recognize_format(path) if header is None else header.file_format
    suffixes = _SUFFIXES.get(file_format, (path.suffix.lower(),))  # if the format is unknown, any suffix is accepted
    if path.suffix.lower() in suffixes:
        return path.suffix, []
    what = f"the content is {file_format}, but the suffix is {path.suffix}"
    return suffixes[0], [Problem("wrong-suffix", str(path), what)]


def _recognize_format(path: Path) -> str:
    """Determine the file format from the first bytes of a file; empty if it is unknown."""
    head = read_bytes(path, length=16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), "")
