"""Find duplicate images, within a set such as train or across sets, by hashes of their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rotated_atss.data_check.image_files import ImageReport
from rotated_atss.data_check.problems import Problem


def find_repeated_images(
    sets: Mapping[str, Sequence[ImageReport]], against: Mapping[str, Sequence[ImageReport]]
) -> Iterator[Problem]:
    """Yield a problem for each image that has the same content as an earlier image, or the same name but other content.

    Names are compared only across sets. Images whose pixels all have one color are not compared by content, because
    unrelated blank images are equal.

    Args:
        sets: Images by name of the set. An image that occurs in two sets is a leak.
        against: Further sets, such as a test set, with which ``sets`` are compared. Duplicates within ``against`` are
            not reported.

    Example:
        >>> from pathlib import Path
        >>> train, val = (ImageReport(Path(name, "P1.png"), bytes_hash="0a") for name in ("train", "val"))
        >>> [str(problem) for problem in find_repeated_images({"val": [val]}, {"train": [train]})]
        ['val/P1.png: the same bytes as train/P1.png']
    """
    images_by_hash: dict[str, list[_SetImage]] = {}
    images_by_name: dict[str, list[_SetImage]] = {}
    for image, is_checked in _iter_images(sets, against):
        same_name = images_by_name.setdefault(image.report.path.stem, [])
        if is_checked:
            yield from _name_problems(image, same_name)
        same_name.append(image)
        if not image.content_hash or image.report.is_uniform:
            continue
        same_content = images_by_hash.setdefault(image.content_hash, [])
        if is_checked and same_content:
            yield _content_problem(image, same_content)
        same_content.append(image)


class _SetImage(NamedTuple):
    """An image and the name of its set."""

    set_name: str
    report: ImageReport

    @property
    def content_hash(self) -> str:
        """Hash of the pixels, or of the file if its pixels were not decoded; empty if the file cannot be read."""
        return self.report.pixels_hash or self.report.bytes_hash


def _iter_images(
    sets: Mapping[str, Sequence[ImageReport]], against: Mapping[str, Sequence[ImageReport]]
) -> Iterator[tuple[_SetImage, bool]]:
    """Yield each image and whether to report its problems. The images of ``against`` come first, with False."""
    for group, is_checked in ((against, False), (sets, True)):
        for set_name, reports in group.items():
            for report in reports:
                yield _SetImage(set_name, report), is_checked


def _content_problem(image: _SetImage, earlier_images: Sequence[_SetImage]) -> Problem:
    """Return the problem of an image that repeats earlier images: a leak if an earlier image is in another set."""
    in_other_sets = [earlier for earlier in earlier_images if earlier.set_name != image.set_name]
    original = (in_other_sets or earlier_images)[0].report
    what = "bytes" if original.bytes_hash == image.report.bytes_hash else "pixels"
    kind = "leaked-image" if in_other_sets else "duplicate-image"
    return Problem(kind, str(image.report.path), f"the same {what} as {original.path}")


def _name_problems(image: _SetImage, earlier_images: Sequence[_SetImage]) -> Iterator[Problem]:
    """Yield a problem if an earlier image of another set has the same name, but different content."""
    if not image.content_hash:
        return
    for earlier in earlier_images:
        if earlier.set_name != image.set_name and earlier.content_hash != image.content_hash:
            what = f"{earlier.report.path} has the same name, but different content"
            yield Problem("same-name", str(image.report.path), what)
            return
