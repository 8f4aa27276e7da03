"""Sections on the images: the best and worst ones, and the table of all images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotated_atss.errors import count_of
from rotated_atss.report.html import Html, element
from rotated_atss.report.numbers import format_count, format_ratio
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import Better, count_cell, delta, header, placeholder, ratio_cell, row_header, table

# Columns of the table. Each column is a field of report.json with its label. The columns in COUNTS also state whether
# higher or lower values are better.
COUNTS: tuple[tuple[str, str, Better], ...] = (
    ("tp", "TP", "higher"), ("fp", "FP", "lower"), ("fn", "FN", "lower"),
    ("detections", "Detections", ""), ("objects", "Objects", ""), ("ignored", "Ignored", ""),
)  # fmt: skip
RATIOS = (("f1", "F1"), ("precision", "Precision"), ("recall", "Recall"))


def examples_section(context: Context) -> Html:
    """Return the images with the lowest and with the highest F1, as pictures or as links."""
    note = f"Images are sorted by F1 at {context.at_thresholds}, then by number of objects."
    if context.thumbnail_urls:
        note += " True positives are blue, false positives orange and missed objects yellow."
    rows = {row["image"]: row for row in context.report["images"]}
    content = []
    for title, key in (("Worst", "worst_images"), ("Best", "best_images")):
        image_ids = [image_id for image_id in context.report[key] if image_id in rows]
        cards = [element("li", *_card(context, rows[image_id])) for image_id in image_ids]
        card_list = element("ul", cards, class_="cards") if cards else placeholder("No images.")
        content += [element("h3", title), card_list]
    return section(context, "examples", "Worst and best images", element("p", note), *content)


def images_section(context: Context) -> Html:
    """Return the sortable table of all images, with a filter by name."""
    images = context.report["images"]
    note = f"All values are computed at {context.at_thresholds}."
    field = element("input", type="search", id="image-filter", autocomplete="off", spellcheck="false")
    filter_label = element("label", "Filter by name", field, for_="image-filter")
    num_shown = element("output", count_of(len(images), "image"), for_="image-filter", id="image-count")
    labels = [label for _, label in RATIOS] + [label for _, label, _ in COUNTS]
    head = [[header("Image", number=False), *map(header, labels)]]
    rows = [_row(context, values) for values in images]
    return section(
        context, "images", "Images", element("p", note),
        element("div", filter_label, num_shown, class_="filter", hidden=True),  # hidden until report.js shows it
        table("Results per image", head, rows, class_="images"), table="images",
    )  # fmt: skip


def _row(context: Context, values: dict[str, Any]) -> Iterator[Html]:
    changes = None  # without a baseline
    if context.changes:
        changes = context.changes.images.get(values["image"], {})

    def change(key: str, better: Better, counts: bool = False) -> Html | None:
        return None if changes is None else delta(changes.get(key), better, counts=counts)

    yield row_header(context.link(values["image"]), sort_text=values["image"])
    for key, _ in RATIOS:
        yield ratio_cell(values[key], change(key, "higher"), bar=key == "f1")
    for key, _, better in COUNTS:
        yield count_cell(values[key], change(key, better, counts=True))


def _card(context: Context, values: dict[str, Any]) -> tuple[Html, Html]:
    """Return two elements: a link with the picture and the name of an image, and the F1 and the counts of the image."""
    image_id = values["image"]
    picture = None
    if image_id in context.thumbnail_urls:
        picture = element("img", src=context.thumbnail_urls[image_id], alt="")
    elif context.thumbnail_urls:
        picture = element("span", "no picture", class_="blank")
    name = element("span", image_id, class_="name")
    counts = " · ".join(f"{format_count(values[key])} {key.upper()}" for key in ("tp", "fp", "fn"))
    figures = element("small", element("span", f"F1 {format_ratio(values['f1'])}"), element("span", counts))
    return context.link(image_id, [picture, name]), figures
