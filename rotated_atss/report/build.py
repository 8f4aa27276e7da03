"""Write the folder of an evaluation report: ``report.json``, CSV tables, pages and viewer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rotated_atss.analysis.evaluation.image_table import best_and_worst
from rotated_atss.analysis.evaluation.report import EvaluationReport
from rotated_atss.analysis.evaluation.report_json import report_to_json
from rotated_atss.analysis.evaluation.tables import detections_table, tables_from_json
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write_all
from rotated_atss.io.progress import progress_bar
from rotated_atss.report.pages import write_pages
from rotated_atss.report.report_file import REPORT_JSON, is_report
from rotated_atss.report.viewer_images import choose_images, viewer_images

MAX_IMAGES = 100
"""Default number of images that get a viewer page."""
# Patterns of the temporary files that remain in a folder if the command is killed before it has written report.json.
_TEMPORARY_FILES = (f".{REPORT_JSON}.*.part", "tables/.*.csv.*.part")


def write_report(
    report: EvaluationReport,
    out: str | Path,
    images: Mapping[str, Path] | None = None,
    baseline: dict[str, Any] | None = None,
    max_images: int = MAX_IMAGES,
    *,
    progress: bool | None = False,
) -> Path:
    """Write the folder of a report.

    First, ``report.json`` and the tables are written, then the pictures, and finally ``index.html``.

    Args:
        report: The report.
        out: A new or empty folder, or the folder of an earlier report, whose files are replaced.
        images: Image files by image id, for the viewer; None for a report without pictures.
        baseline: Content of the ``report.json`` of another run, with which the report is compared.
        max_images: Maximum number of images in the viewer.
        progress: Show a progress bar over the images; None shows it on a terminal.

    Returns:
        Path of ``index.html``.

    Raises:
        UserError: The folder has other content, or cannot be written.

    Example::

        write_report(build_report(data, ap, settings), "work/report")
    """
    out = Path(out)
    check_report_folder(out)
    content = report_to_json(report)
    _write_json_and_tables(content, out, {"detections": detections_table(report)})
    viewer_urls: dict[str, str] = {}
    thumbnail_urls: dict[str, str] = {}
    chosen_ids = choose_images(report, images or {}, max_images)
    if images and chosen_ids:
        viewer_urls, thumbnail_urls = _write_pictures(report, out, images, chosen_ids, progress)
    return write_pages(content, out, baseline=baseline, viewer_urls=viewer_urls, thumbnail_urls=thumbnail_urls)


def render_report(content: dict[str, Any], out: str | Path, baseline: dict[str, Any] | None = None) -> Path:
    """Write the folder of a report again from its ``report.json``.

    The folder has no viewer and no table of detections, because they cannot be computed from ``report.json``.

    Args:
        content: Content of the ``report.json``.
        out: A new or empty folder, or the folder of an earlier report, whose files are replaced.
        baseline: Content of the ``report.json`` of another run, with which the report is compared.

    Returns:
        Path of ``index.html``.

    Raises:
        UserError: The folder has other content, or cannot be written.

    Example::

        render_report(read_report("work/report"), "compared", baseline=read_report("other/report"))
    """
    check_report_folder(out)
    _write_json_and_tables(content, Path(out), {})
    return write_pages(content, Path(out), baseline=baseline, viewer_urls={})


def check_report_folder(out: str | Path, outputs: Iterable[str | Path] = ()) -> None:
    """Check that a report can be written into a folder.

    This is possible if the folder does not exist, is empty, or contains an earlier report.

    Args:
        out: Folder of a report.
        outputs: Other outputs of the command. They must not lie in the folder. Otherwise, if the command wrote them but
            failed before it wrote the report, the next run would reject the folder.

    Raises:
        UserError: The folder has other content, is a file, or would contain another output.

    Example:
        >>> check_report_folder("/no/such/folder")
        >>> check_report_folder("/")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: /: the folder is not empty and has no report (choose a new or empty folder)
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UserError("the output is not a folder", where=out, hint="choose a new or empty folder")
    if out.is_dir() and not is_report(out / REPORT_JSON) and _has_files(out):
        raise UserError("the folder is not empty and has no report", where=out, hint="choose a new or empty folder")
    for path in outputs:
        if out.resolve() in (Path(path).resolve(), *Path(path).resolve().parents):
            raise UserError(f"the folder of the report would contain {path}", where=out, hint="choose another folder")


def _has_files(folder: Path) -> bool:
    """Return whether a folder has files other than the temporary files of an interrupted report."""
    temporary = {path for pattern in _TEMPORARY_FILES for path in folder.glob(pattern)}
    return any(not path.is_dir() and path not in temporary for path in folder.rglob("*"))


def _write_json_and_tables(content: dict[str, Any], out: Path, more_tables: Mapping[str, str]) -> None:
    """Write ``report.json`` and the tables, and remove the files of an earlier report that do not belong to this one.

    ``more_tables`` maps names to the CSV text of tables that cannot be computed from ``report.json``.
    """
    tables = {**tables_from_json(content), **more_tables}
    # the text of a report.json can have lone surrogates, which UTF-8 cannot encode
    csv_files = {
        out / "tables" / f"{name}.csv": text.encode(errors="backslashreplace") for name, text in tables.items()
    }
    report_json = json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n"
    # report.json is written first, because check_report_folder recognizes the folder of a report by it
    atomic_write_all({out / REPORT_JSON: report_json.encode(), **csv_files})
    (out / "index.html").unlink(missing_ok=True)
    if "detections" not in more_tables:
        (out / "tables" / "detections.csv").unlink(missing_ok=True)
    for folder in ("viewer", "thumbnails"):
        shutil.rmtree(out / folder, ignore_errors=True)


def _write_pictures(
    report: EvaluationReport, out: Path, images: Mapping[str, Path], chosen_ids: list[str], progress: bool | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Write the viewer pages of the chosen images, and thumbnails of the best and worst images.

    Returns:
        URLs of the viewer pages and of the thumbnails by image id, relative to ``out``.
    """
    from rotated_atss.report.thumbnails import write_thumbnails
    from rotated_atss.report.viewer import write_viewer

    ids_with_bar = progress_bar(chosen_ids, desc="images", unit="image", leave=False, show=progress)
    viewer_urls = write_viewer(viewer_images(report, images, ids_with_bar), out, classes=report.data.classes)
    best, worst = best_and_worst(report.images)
    # a thumbnail links to the viewer page of its image, so images without a viewer page get no thumbnail
    thumbnail_ids = [image_id for image_id in viewer_urls if image_id in {*best, *worst}]
    thumbnail_urls = write_thumbnails(viewer_images(report, images, thumbnail_ids), out)
    return viewer_urls, thumbnail_urls
