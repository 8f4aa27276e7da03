"""The context from which all sections of the report page are built: the report, its links and its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rotated_atss.report.comparison import Comparison
from rotated_atss.report.html import Content, Html, element, render
from rotated_atss.report.numbers import format_lower_limit


@dataclass(frozen=True)
class Context:
    """A report with its links and, optionally, a baseline.

    Attributes:
        report: Content of ``report.json``.
        baseline: Content of the ``report.json`` of the baseline; None without a baseline.
        changes: Differences from the baseline; None without a baseline.
        viewer_urls: URLs of the viewer pages by image id, relative to the report page.
        thumbnail_urls: URLs of the thumbnails by image id, relative to the report page.
        tables: File names of the CSV files in ``tables/``.
    """

    report: dict[str, Any]
    baseline: dict[str, Any] | None = None
    changes: Comparison | None = None
    viewer_urls: Mapping[str, str] = field(default_factory=dict)
    thumbnail_urls: Mapping[str, str] = field(default_factory=dict)
    tables: frozenset[str] = frozenset()

    @property
    def at_thresholds(self) -> str:
        """The score threshold and the IoU threshold of the counts, as text."""
        settings = self.report["settings"]
        score_limit = format_lower_limit("score", settings["score_threshold"])
        return f"{score_limit} and {self.iou_limit(settings['iou_threshold'])}"

    def iou_limit(self, threshold: float) -> str:
        """Return the condition on the IoU of a match as text.

        The IoU must be at least the threshold in COCO's metric, but above the threshold in DOTA's metrics.
        """
        is_dota_metric = self.report.get("settings", {}).get("metric") in ("voc07", "area")
        return format_lower_limit("IoU", threshold, exclusive=is_dota_metric)

    def link(self, image_id: str, content: Content = None) -> Html:
        """Return a link to the viewer page of an image, or only the content of the link if the image has no page.

        Args:
            image_id: Id of the image.
            content: Content of the link; None for the image id.
        """
        content = image_id if content is None else content
        if image_id not in self.viewer_urls:
            return render(content)
        return element("a", content, href=self.viewer_urls[image_id])


def section(context: Context, name: str, title: str, *content: Content, table: str = "") -> Html:
    """Return a section of the page. If the section has a CSV table, its heading includes a link to the table.

    Args:
        context: The context of the page.
        name: ``id`` of the section.
        title: Heading.
        content: Content below the heading.
        table: Name of the CSV file in ``tables/``, without suffix. Empty if the section has no CSV table.

    Example:
        >>> section(Context({}), "errors", "Errors", "Text")
        '<section id="errors" aria-labelledby="errors-title"><h2 id="errors-title">Errors</h2>Text</section>'
    """
    file = f"{table}.csv"
    link = element("a", file, class_="csv", href=f"tables/{file}") if file in context.tables else None
    heading = element("h2", title, id=f"{name}-title")
    head = element("div", heading, link, class_="head") if link else heading
    return element("section", head, *content, id=name, aria_labelledby=f"{name}-title")
