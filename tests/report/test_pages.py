"""The page shows every number of the report, escaped, without a reference to anything outside its folder."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rotated_atss.errors import UserError
from rotated_atss.report.pages import write_pages
from tests.report.example import EMPTY_CLASS, HOSTILE_IMAGE, KINDS, MARKUP_CLASS, example_report
from tests.report.page_reader import (
    cell_text,
    find_table,
    parse_page,
    read_changes,
    read_table,
    shown,
    shown_change,
    text_of,
)

REPORT = example_report()
BASELINE = example_report(seed=1, quality=0.7)
for _new, _old in zip(REPORT["images"], BASELINE["images"]):
    _old["image"] = _new["image"]
BASELINE["images"][7]["image"] = "only in the baseline"
CLASS_FIELDS = (
    "AP50", "AP75", "AP50_95", "f1", "precision", "recall", "best_score_threshold", "tp", "fp", "fn",
    "detections", "objects", "ignored",
)  # fmt: skip
IMAGE_FIELDS = ("f1", "precision", "recall", "tp", "fp", "fn", "detections", "objects", "ignored")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with a viewer page and a picture of the image whose name contains markup."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "tables").mkdir()
    (folder / "tables" / "classes.csv").write_text("class\n")
    images = {HOSTILE_IMAGE: 'viewer/a"b.html'}
    best = REPORT["best_images"][0]
    write_pages(REPORT, folder, viewer_urls=images, thumbnail_urls={best: "thumbnails/best.jpg"})
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> Any:
    return parse_page(out / "index.html")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return parse_page(write_pages(REPORT, tmp_path_factory.mktemp("compared"), baseline=BASELINE))


def test_summary(page) -> None:
    terms = {text_of(entry[0]): text_of(entry[1]) for entry in page.findall(".//section[@id='summary']//dl/div")}
    summary = REPORT["summary"]
    for label, key in (("AP50", "AP50"), ("AP75", "AP75"), ("AP50:95", "AP50_95"), ("F1", "f1")):
        assert terms[label] == shown(summary[key], 4)
    assert next(iter(terms)) == "AP50", "the main figure is first"
    for label, key in (
        ("Images", "images"),
        ("Objects", "objects"),
        ("False negatives", "fn"),
        ("Detections", "detections"),
    ):
        assert terms[label] == shown(summary[key])


@pytest.mark.parametrize(
    ("ignored", "sentence"),
    [
        (0, ""),
        (1, "1 of the detections matches an ignored object and counts as neither true nor false positive."),
        (1200, "1,200 of the detections match ignored objects and count as neither true nor false positive."),
    ],
)
def test_detections_of_ignored_objects_are_stated(ignored: int, sentence: str, tmp_path: Path) -> None:
    report = copy.deepcopy(REPORT)
    report["summary"]["detections"] = report["summary"]["tp"] + report["summary"]["fp"] + ignored
    text = text_of(parse_page(write_pages(report, tmp_path)).find(".//section[@id='summary']/p"))
    assert text.endswith(sentence or "IoU > 0.5.")


def test_classes(page) -> None:
    expected = [[shown(each["name"]), *(shown(each[key]) for key in CLASS_FIELDS)] for each in REPORT["classes"]]
    assert read_table(page, "Results per class") == expected
    assert any(row[0] == MARKUP_CLASS for row in expected)
    headers = [text_of(header) for header in find_table(page, "Results per class").find("thead")[1]]
    assert headers[1:4] == ["AP50", "AP75", "AP50:95"]


def test_confusion_matrix(page) -> None:
    confusion = REPORT["confusion"]
    rows = find_table(page, "Confusion matrix").find("tbody")
    assert [text_of(row[0]) for row in rows] == [shown(name) for name in confusion["classes"]]
    for row, values in zip(rows, confusion["matrix"], strict=True):
        assert text_of(row[-1]) == shown(sum(values))
        for cell, value in zip(row[1:-1], values, strict=True):
            if value == 0:
                assert text_of(cell) == "·"
                continue
            counts, shares = cell
            assert text_of(counts) == shown(value)
            assert float(text_of(shares)) == pytest.approx(100 * value / sum(values), abs=0.0501)
            assert shown(value) in cell.get("title")


def test_errors(page) -> None:
    rows = read_table(page, "Error kinds of all classes")
    expected = [(kind, REPORT["errors"]["all"][kind]) for kind in KINDS]
    assert [[row[0].split()[0], *row[1:]] for row in rows] == [
        [kind, shown(each["ap50_cost"]), shown(each["count"])] for kind, each in expected
    ]
    assert all(row[0].endswith(".") for row in rows), "each kind is explained"
    per_class = read_table(page, "Error kinds per class: AP50 cost and number of errors")
    for row, (name, kinds) in zip(per_class, REPORT["errors"]["classes"].items(), strict=True):
        numbers = [shown(kinds[kind][key]) for kind in KINDS for key in ("ap50_cost", "count")]
        assert row == [shown(name), *numbers]


@pytest.mark.parametrize(
    ("grouping", "title"),
    [("size", "size"), ("aspect_ratio", "aspect ratio"), ("angle_deg", "angle"), ("density", "density")],
)
def test_groups(page, grouping: str, title: str) -> None:
    rows = read_table(page, f"Results by {title}")
    groups = REPORT["groups"][grouping]
    assert [row[1:] for row in rows] == [[shown(each[key]) for key in ("AP50", "recall", "objects")] for each in groups]
    assert len({row[0] for row in rows}) == len(groups)
    assert REPORT["group_units"][grouping] in text_of(page.find(".//section[@id='groups']"))


def test_calibration(page) -> None:
    rows = read_table(page, "Calibration per bin of scores")
    bins = REPORT["calibration"]["bins"]
    assert [[row[1], row[2], row[4]] for row in rows] == [
        [shown(each[key]) for key in ("mean_score", "precision", "detections")] for each in bins
    ]
    assert shown(REPORT["calibration"]["expected_calibration_error"], 4) in text_of(
        page.find(".//section[@id='calibration']")
    )
    assert len(page.findall(".//section[@id='calibration']//circle")) == sum(each["detections"] > 0 for each in bins)


def test_images(page) -> None:
    expected = [[shown(each["image"]), *(shown(each[key]) for key in IMAGE_FIELDS)] for each in REPORT["images"]]
    assert read_table(page, "Results per image") == expected
    lists = page.findall(".//section[@id='examples']//ul")
    for listed, key in zip(lists, ("worst_images", "best_images"), strict=True):
        assert [text_of(item.find(".//span[@class='name']")) for item in listed] == [
            shown(image) for image in REPORT[key]
        ]


def test_curves(page) -> None:
    data = json.loads(page.find(".//script[@id='curve-data']").text)
    curves = {name: curve for name, curve in REPORT["curves"].items() if curve["score"]}
    assert [curve["name"] for curve in data] == list(curves)
    assert EMPTY_CLASS not in curves
    for drawn, curve in zip(data, curves.values()):
        for field in ("score", "precision", "recall", "f1"):
            assert drawn[field] == pytest.approx(curve[field], abs=5.1e-5)
    for chart in page.findall(".//svg[@data-plot]"):
        assert sorted(int(path.get("data-series")) for path in chart.findall("path")) == list(range(len(curves)))


def test_settings_and_inputs(page) -> None:
    text = text_of(page.find(".//section[@id='settings']"))
    for value in ("v1.0", "VOC07", "0.5, 0.55, 0.6", "best F1 over all classes", "data/extra/labelTxt", "<x>"):
        assert value in text
    assert shown(REPORT["inputs"]["command"]) in text


def test_differences_from_a_baseline(compared) -> None:
    old = {each["name"]: each for each in BASELINE["classes"]}
    changes = read_changes(compared, "Results per class")
    for row, new in zip(changes, REPORT["classes"], strict=True):
        pairs = [(new[key], old[new["name"]][key]) for key in CLASS_FIELDS]
        assert row[1:] == [shown_change(None if a is None or b is None else a - b) for a, b in pairs]
    images = {each["image"]: each for each in BASELINE["images"]}
    for row, new in zip(read_changes(compared, "Results per image"), REPORT["images"], strict=True):
        before = images.get(new["image"], dict.fromkeys(IMAGE_FIELDS))
        pairs = [(new[key], before[key]) for key in IMAGE_FIELDS]
        assert row[1:] == [shown_change(None if a is None or b is None else a - b) for a, b in pairs]


def test_largest_changes(compared) -> None:
    old = {each["name"]: each["AP50"] for each in BASELINE["classes"]}
    gains = {each["name"]: each["AP50"] - old[each["name"]] for each in REPORT["classes"] if each["AP50"] is not None}
    ranked = sorted(gains, key=gains.__getitem__)
    increased, decreased = [
        [[cell_text(cell) for cell in row] for row in table.find("tbody")]
        for table in compared.findall(".//section[@id='changes']//table")
        if text_of(table.find("caption")) == "Classes whose AP50 changed most"
    ]
    assert increased[0][0] == shown(ranked[-1])
    assert decreased[0][0] == shown(ranked[0])
    assert all(gains[name] < 0 for name in ranked[: len(decreased)])
    notices = text_of(compared.find(".//section[@id='changes']"))
    assert "1 image only in the baseline: only in the baseline" in notices
    assert "score threshold" in notices


def test_every_difference_has_a_sign(compared) -> None:
    colored = [span for span in compared.iter("span") if span.get("class") in ("delta better", "delta worse")]
    assert len(colored) > 200
    assert {text_of(span)[0] for span in colored} == {"+", "\N{MINUS SIGN}"}


def test_no_text_becomes_markup(out: Path, page) -> None:
    scripts = list(page.iter("script"))
    assert [script.get("src") or script.get("id") for script in scripts] == ["static/report.js", "curve-data"]
    assert "x" not in {each.get("id") for each in page.iter()}
    assert not [each for each in page.iter() if any(name.startswith("on") for name in each.attrib)]
    links = [link for link in page.iter("a") if text_of(link) == shown(HOSTILE_IMAGE)]
    assert {link.get("href") for link in links} == {'viewer/a"b.html'}


def test_nothing_is_loaded_from_outside_the_folder(out: Path, page) -> None:
    addresses = [each.get(name) for each in page.iter() for name in ("src", "href") if each.get(name)]
    relative = re.compile(r"(#|data:,$|static/|tables/|viewer/|thumbnails/|report\.json$)")
    assert all(relative.match(address) for address in addresses), addresses
    for name in ("report.css", "report.js"):
        assert not re.search(r"https?:|//[a-z]|@import|url\(", (out / "static" / name).read_text().replace("//  ", ""))
    targets = [address for address in addresses if address.startswith(("static/", "tables/"))]
    assert targets
    assert all((out / address).is_file() for address in targets)


def test_ids_are_unique_and_references_resolve(page) -> None:
    ids = [each.get("id") for each in page.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    references = [each.get("href")[1:] for each in page.iter("a") if each.get("href", "").startswith("#")]
    references += [each.get(name) for each in page.iter() for name in ("aria-labelledby", "for") if each.get(name)]
    assert len(references) > 20
    assert set(references) <= set(ids)


def test_only_existing_tables_are_linked(page) -> None:
    tables = {link.get("href") for link in page.iter("a") if link.get("href", "").startswith("tables/")}
    assert tables == {"tables/classes.csv"}


def test_pictures_of_the_best_images(page) -> None:
    assert [image.get("src") for image in page.iter("img")] == ["thumbnails/best.jpg"]
    cards = page.findall(".//section[@id='examples']//li")
    assert sum("no picture" in text_of(card) for card in cards) == len(cards) - 1 > 0


def test_without_pictures_no_place_is_kept_for_them(compared) -> None:
    assert "no picture" not in text_of(compared.find(".//section[@id='examples']"))


def test_horizontal_boxes_have_crowds_and_no_errors_of_the_angle(tmp_path) -> None:
    page = parse_page(write_pages({**copy.deepcopy(REPORT), "kind": "coco"}, tmp_path))
    kinds = [row[0].split()[0] for row in read_table(page, "Error kinds of all classes")]
    assert kinds == [kind for kind in KINDS if kind != "angle"]
    settings = text_of(page.find(".//section[@id='settings']"))
    assert "Crowd objects" in settings
    assert "Difficult" not in settings


def empty_report() -> dict[str, Any]:
    report = example_report(images=1)
    sizes = dict.fromkeys(("objects", "ignored", "detections", "tp", "fp", "fn"), 0)
    undefined = dict.fromkeys(("AP50", "AP75", "AP50_95", "precision", "recall", "f1"))
    report["summary"] = {"images": 0, **sizes, **undefined}
    report["settings"]["score_threshold"] = None
    report["confusion"] = {"classes": ["background"], "matrix": [[0]], "score_threshold": None, "iou_threshold": 0.5}
    report["errors"] = {"kinds": list(KINDS), "all": {k: {"count": 0, "ap50_cost": None} for k in KINDS}, "classes": {}}
    report["groups"] = {"size": []}
    report["calibration"] = {"bins": [], "expected_calibration_error": None}
    return {**report, "classes": [], "curves": {}, "images": [], "best_images": [], "worst_images": []}


def test_empty_report(tmp_path) -> None:
    page = parse_page(write_pages(empty_report(), tmp_path, baseline=empty_report()))
    assert text_of(page.find(".//section[@id='curves']")).endswith("No objects.")
    assert text_of(page.find(".//section[@id='examples']")).count("No images.") == 2


def test_objects_without_detections(tmp_path) -> None:
    report = empty_report()
    report["summary"]["objects"] = report["summary"]["fn"] = 3
    page = parse_page(write_pages(report, tmp_path))
    assert text_of(page.find(".//section[@id='curves']")).endswith("No detections.")


def test_assignment_section(tmp_path) -> None:
    group = {"from": 0, "to": None, "objects": 4, "positives_per_object": 2.5, "without": 1}
    assigner = {"positives": 10, "positives_per_object": 2.5, "deviation": 1.0, "without": 1, "by_size": [group]}
    assigner["by_angle"] = [group]
    assigners = {"atss <1>": assigner, "topk": assigner}
    report = {**copy.deepcopy(REPORT), "assignment": {"objects": 4, "assigners": assigners}}
    page = parse_page(write_pages(report, tmp_path))
    assert read_table(page, "Positives per assigner") == [[name, "2.50", "1.00", "1", "10"] for name in assigners]
    assert read_table(page, "Positives by size, atss <1>") == [["0 and above", "2.50", "0.250", "4"]]
    titles = [text_of(title) for title in page.findall(".//section[@id='assignment']//h3")]
    assert titles == [f"Positives by {group} {name}" for group in ("size", "angle") for name in assigners]


def test_damaged_report_writes_nothing(tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"^baseline: not a report of rotated-atss, got list"):
        write_pages(REPORT, out, baseline=[])  # type: ignore[arg-type]
    assert not out.exists()
