"""Images that occur twice in a set, such as train or val, or in two sets, found by hashes of their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rotated_atss.data_check.image_files import ImageReport
from rotated_atss.data_check.problems import Problem


def find_repeated_images(
    sets: Mapping[str, Sequence[ImageReport]], against: Mapping[str, Sequence[ImageReport]]
) -> Iterator[Problem]:
    """Yield images with the content of an earlier image, and images with the name of another image in another set.

    Images whose pixels all have one color are not compared by content, because blank images are equal by chance.

    Args:
        sets: Images by name of the set. An image of two sets is a leak.
        against: Further sets, such as a test set, with which ``sets`` are compared. Duplicates within them are not
            reported.

    Example:
        >>> from pathlib import Path
        >>> train, val = (ImageReport(Path(name, "P1.png"), bytes_hash="0a") for name in ("train", "val"))
        >>> [str(problem) for problem in find_repeated_images({"val": [val]}, {"train": [train]})]
        ['val/P1.png: the same bytes as train/P1.png']
    """
    images_by_hash: dict[str, list[_SetImage]] = {}
    images_by_name: dict[str, list[_SetImage]] = {}
    for image, is_checked in _iter_images(sets, against):
        of_same_name = images_by_name.setdefault(image.report.path.stem, [])
        if is_checked:
            yield from _name_problems(image, of_same_name)
        of_same_name.append(image)
        if not image.content_hash or image.report.uniform:
            continue
        of_same_content = images_by_hash.setdefault(image.content_hash, [])
        if is_checked and of_same_content:
            yield _content_problem(image, of_same_content)
        of_same_content.append(image)


class _SetImage(NamedTuple):
    """An image and the name of its set."""

    set_name: str
    report: ImageReport

    @property
    def content_hash(self) -> str:
        """Hash of the pixels, or of the file if they were not decoded; empty if it cannot be read."""
        return self.report.pixels_hash or self.report.bytes_hash


def _iter_images(
    sets: Mapping[str, Sequence[ImageReport]], against: Mapping[str, Sequence[ImageReport]]
) -> Iterator[tuple[_SetImage, bool]]:
    """Yield the images of all sets, and whether their problems are reported; those of ``against`` come first."""
    for group, is_checked in ((against, False), (sets, True)):
        for set_name, reports in group.items():
            for report in reports:
                yield _SetImage(set_name, report), is_checked


def _content_problem(image: _SetImage, earlier_images: Sequence[_SetImage]) -> Problem:
    """Describe an image whose content is that of earlier ones. A copy in another set is worse than one in its own."""
    in_other_sets = [earlier for earlier in earlier_images if earlier.set_name != image.set_name]
    copy = (in_other_sets or earlier_images)[0].report
    what = "bytes" if copy.bytes_hash == image.report.bytes_hash else "pixels"
    kind = "leaked-image" if in_other_sets else "duplicate-image"
    return Problem(kind, str(image.report.path), f"the same {what} as {copy.path}")


def _name_problems(image: _SetImage, earlier_images: Sequence[_SetImage]) -> Iterator[Problem]:
    """Yield a problem if an earlier image of another set has the same name and another content."""
    if not image.content_hash:
        return
    for earlier in earlier_images:
        if earlier.set_name != image.set_name and earlier.content_hash != image.content_hash:
            what = f"{earlier.report.path} has this name and another content"
            yield Problem("same-name", str(image.report.path), what)
            return
