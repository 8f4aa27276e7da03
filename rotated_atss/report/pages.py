"""Write the report page: ``index.html`` with its style sheet and script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rotated_atss.io.files import atomic_write_all
from rotated_atss.report.comparison import compare_reports
from rotated_atss.report.html import Html, element, render
from rotated_atss.report.schema import check_report
from rotated_atss.report.sections.assignment import assignment_section
from rotated_atss.report.sections.calibration import calibration_section
from rotated_atss.report.sections.changes import changes_section
from rotated_atss.report.sections.classes import classes_section
from rotated_atss.report.sections.confusion import confusion_section
from rotated_atss.report.sections.context import Context
from rotated_atss.report.sections.curves import curves_section
from rotated_atss.report.sections.errors import errors_section
from rotated_atss.report.sections.groups import groups_section
from rotated_atss.report.sections.images import examples_section, images_section
from rotated_atss.report.sections.settings import METRICS, settings_section
from rotated_atss.report.sections.summary import summary_section

STATIC = Path(__file__).parent / "static"
STATIC_FILES = ("report.css", "report.js")


def write_pages(
    report: dict[str, Any],
    out: Path,
    *,
    baseline: dict[str, Any] | None = None,
    viewer_urls: Mapping[str, str] | None = None,
    thumbnail_urls: Mapping[str, str] | None = None,
) -> Path:
    """Write the page of an evaluation report and its static files, so that browsers can open it without a server.

    Args:
        report: Content of ``report.json``.
        out: Folder of the report. The page links to the CSV files that exist in ``out/tables``.
        baseline: Content of the ``report.json`` of another run, with which the report is compared.
        viewer_urls: URLs of the viewer pages by image id, relative to ``out``; None for a report without viewer.
        thumbnail_urls: URLs of the thumbnails of the best and worst images by image id, relative to ``out``; None for a
            report without thumbnails.

    Returns:
        Path of ``index.html``.

    Raises:
        UserError: ``report`` or ``baseline`` does not have the structure of a report, or a file cannot be written.

    Example:
        >>> write_pages({"format": "coco"}, Path("out"))
        Traceback (most recent call last):
        rotated_atss.errors.UserError: report.json: not a report of rotated-atss, got format 'coco' (give a report.json)
    """
    check_report(report)
    if baseline is not None:
        check_report(baseline, "baseline")
    context = Context(
        report,
        baseline,
        changes=None if baseline is None else compare_reports(report, baseline),
        viewer_urls=viewer_urls or {},
        thumbnail_urls=thumbnail_urls or {},
        tables=frozenset(path.name for path in (out / "tables").glob("*.csv")),
    )
    files = {out / "static" / name: (STATIC / name).read_bytes() for name in STATIC_FILES}
    atomic_write_all({**files, out / "index.html": report_page(context).encode()})
    return out / "index.html"


def report_page(context: Context) -> Html:
    """Return the HTML of the report page."""
    sections = _sections(context)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{_detections_name(context)}: evaluation report"),
        element("link", rel="icon", href="data:,"),  # an empty icon keeps browsers from requesting /favicon.ico
        element("link", rel="stylesheet", href="static/report.css"),
        element("script", src="static/report.js", defer=True),
    )
    body = element(
        "body",
        element("a", "Skip to the results", href="#main", class_="skip"),
        element("header", element("h1", "Evaluation report"), element("p", _subtitle(context))),
        element(
            "nav",
            element("ul", [_nav_item(section_id, title) for section_id, title, _ in sections]),
            aria_label="Sections",
        ),
        # each section starts on a new line of the HTML file
        element("main", [[Html("\n"), html] for _, _, html in sections], id="main", tabindex="-1"),
    )
    return render(Html("<!DOCTYPE html>\n"), element("html", head, body, lang="en"), Html("\n"))


def _sections(context: Context) -> list[tuple[str, str, Html]]:
    """Return the id, the title in the navigation bar and the HTML of each section."""
    sections = [("summary", "Summary", summary_section(context))]
    if context.changes is not None:
        sections.append(("changes", "Changes", changes_section(context)))
    sections += [
        ("classes", "Classes", classes_section(context)),
        ("curves", "Curves", curves_section(context)),
        ("confusion", "Confusion", confusion_section(context)),
        ("errors", "Errors", errors_section(context)),
        ("groups", "Size and shape", groups_section(context)),
        ("calibration", "Calibration", calibration_section(context)),
        ("examples", "Worst and best", examples_section(context)),
        ("images", "Images", images_section(context)),
    ]
    if context.report.get("assignment"):
        sections.append(("assignment", "Assignment", assignment_section(context)))
    return [*sections, ("settings", "Settings", settings_section(context))]


def _nav_item(section_id: str, title: str) -> Html:
    return element("li", element("a", title, href=f"#{section_id}"))


def _detections_name(context: Context) -> str:
    """Return the name of the file or folder of the detections, or ``Detections`` if it is not known."""
    path = context.report["inputs"].get("detections") or "Detections"
    return Path(str(path)).name


def _subtitle(context: Context) -> str:
    settings = context.report["settings"]
    metric = METRICS.get(settings.get("metric"), settings.get("metric"))
    parts = [_detections_name(context), settings.get("dataset"), metric]
    if context.baseline is not None:
        parts.append(f"compared with {context.baseline['inputs'].get('detections') or 'the baseline'}")
    return " · ".join(str(part) for part in parts if part)
