"""The report and its links, from which all sections of the page are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rotated_atss.report.comparison import Comparison
from rotated_atss.report.html import Content, Html, element, render
from rotated_atss.report.numbers import at_least


@dataclass(frozen=True)
class Context:
    """A report with its links and, optionally, a baseline.

    Attributes:
        report: Content of ``report.json``.
        baseline: Content of the ``report.json`` of the baseline; None without a baseline.
        changes: Differences from the baseline; None without a baseline.
        viewer_of: Addresses of the viewer pages by image id, relative to the page.
        thumbnails_of: Addresses of the pictures by image id, relative to the page.
        tables: Names of the CSV files in ``tables/``.
    """

    report: dict[str, Any]
    baseline: dict[str, Any] | None = None
    changes: Comparison | None = None
    viewer_of: Mapping[str, str] = field(default_factory=dict)
    thumbnails_of: Mapping[str, str] = field(default_factory=dict)
    tables: frozenset[str] = frozenset()

    @property
    def at_thresholds(self) -> str:
        """Text that names the score threshold and the IoU threshold of the counts."""
        settings = self.report["settings"]
        return f"{at_least('score', settings['score_threshold'])} and {self.iou_limit(settings['iou_threshold'])}"

    def iou_limit(self, threshold: float) -> str:
        """Return the IoU of a match as text: at least the threshold for COCO's metric, above it for DOTA's metrics."""
        return at_least("IoU", threshold, above=self.report.get("settings", {}).get("metric") in ("voc07", "area"))

    def link(self, image: str, text: Content = None) -> Html:
        """Return the image id, or another text, with a link to the viewer page of the image if there is one."""
        label = image if text is None else text
        return element("a", label, href=self.viewer_of[image]) if image in self.viewer_of else render(label)


def section(context: Context, name: str, title: str, *content: Content, table: str = "") -> Html:
    """Return a section with its heading and, if there is one, a link to its CSV table.

    Args:
        context: The report.
        name: ``id`` of the section.
        title: Heading.
        content: Content below the heading.
        table: Name of the CSV file in ``tables/``, without suffix; empty for none.

    Example:
        >>> section(Context({}), "errors", "Errors", "none")
        '<section id="errors" aria-labelledby="errors-title"><h2 id="errors-title">Errors</h2>none</section>'
    """
    file = f"{table}.csv"
    link = element("a", file, class_="csv", href=f"tables/{file}") if file in context.tables else None
    heading = element("h2", title, id=f"{name}-title")
    head = element("div", heading, link, class_="head") if link else heading
    return element("section", head, *content, id=name, aria_labelledby=f"{name}-title")
