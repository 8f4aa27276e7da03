"""Images that occur twice, within a set or in two sets, by the hash of their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rotated_atss.data_check.image_files import ImageReport
from rotated_atss.data_check.problems import Problem


def find_repeated_images(
    sets: Mapping[str, Sequence[ImageReport]], against: Mapping[str, Sequence[ImageReport]]
) -> Iterator[Problem]:
    """Yield images with equal content, and images of one name with different content in two sets.

    Images of one color are left out, because blank images are equal by chance.

    Args:
        sets: Images by name of the set; sets that share an image have a leak.
        against: Further sets, whose own duplicates are not reported.

    Example:
        >>> from pathlib import Path
        >>> train, val = (ImageReport(Path(name, "P1.png"), bytes_hash="0a") for name in ("train", "val"))
        >>> [str(problem) for problem in find_repeated_images({"val": [val]}, {"train": [train]})]
        ['val/P1.png: the same bytes as train/P1.png']
    """
    by_content: dict[str, list[tuple[str, ImageReport]]] = {}
    by_name: dict[str, list[tuple[str, ImageReport]]] = {}
    for name, report, is_checked in _all_images(sets, against):
        same_name = by_name.setdefault(report.path.stem, [])
        if is_checked:
            yield from _name_problems(name, report, same_name)
        same_name.append((name, report))
        if not _content(report) or report.uniform:
            continue
        same_content = by_content.setdefault(_content(report), [])
        if is_checked and same_content:
            yield _content_problem(name, report, same_content)
        same_content.append((name, report))


def _all_images(
    sets: Mapping[str, Sequence[ImageReport]], against: Mapping[str, Sequence[ImageReport]]
) -> Iterator[tuple[str, ImageReport, bool]]:
    for group, is_checked in ((against, False), (sets, True)):
        for name, reports in group.items():
            for report in reports:
                yield name, report, is_checked


def _content(report: ImageReport) -> str:
    return report.pixels_hash or report.bytes_hash


def _content_problem(name: str, report: ImageReport, earlier: Sequence[tuple[str, ImageReport]]) -> Problem:
    leaks = [other for other_name, other in earlier if other_name != name]
    other = leaks[0] if leaks else earlier[0][1]
    what = "bytes" if other.bytes_hash == report.bytes_hash else "pixels"
    kind = "leaked-image" if leaks else "duplicate-image"
    return Problem(kind, str(report.path), f"the same {what} as {other.path}")


def _name_problems(name: str, report: ImageReport, earlier: Sequence[tuple[str, ImageReport]]) -> Iterator[Problem]:
    others = [other for other_name, other in earlier if other_name != name and _content(other) != _content(report)]
    if others and _content(report):
        yield Problem("same-name", str(report.path), f"{others[0].path} has this name and another content")
