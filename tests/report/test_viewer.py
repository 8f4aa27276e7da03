"""Files that the viewer writes."""

from __future__ import annotations

import json
import logging
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.report import viewer
from rotated_atss.report.viewer import STATIC_FILES, write_viewer
from rotated_atss.report.viewer_data import ViewerDetection, ViewerImage, ViewerObject

BOX = [2.0, 2.0, 12.0, 2.0, 12.0, 7.0, 2.0, 7.0]


def image_file(path: Path, width: int = 30, height: int = 20) -> Path:
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))
    return path


def read_script(path: Path) -> dict:
    text = path.read_text(encoding="ascii")
    return json.loads(text.split(" = ", 1)[1].removesuffix(";\n"))


class Page(HTMLParser):
    """Addresses, texts and ids of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses, self.scripts, self.ids, self.texts = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        self.addresses += [values[name] for name in ("href", "src") if name in values]
        self.scripts += [values.get("src")] if tag == "script" else []
        self.ids += [values["id"]] if "id" in values else []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_files_of_a_small_and_a_large_image(tmp_path: Path) -> None:
    images = [
        ViewerImage("P1", image_file(tmp_path / "a.png"), [ViewerObject(BOX, "ship", "missed")]),
        ViewerImage("P2", image_file(tmp_path / "b.png", 2100, 40), [], [ViewerDetection(BOX, "ship", 0.9, 0.1, "fp")]),
    ]
    out = tmp_path / "report"
    assert write_viewer(images, out, classes=["ship"]) == {"P1": "viewer/P1.html", "P2": "viewer/P2.html"}
    assert {path.name for path in (out / "static").iterdir()} == set(STATIC_FILES)
    assert read_script(out / "viewer" / "images.js") == [
        {"image": "P1", "page": "P1.html", "tp": 0, "fp": 0, "fn": 1},
        {"image": "P2", "page": "P2.html", "tp": 0, "fp": 1, "fn": 0},
    ]
    data = read_script(out / "viewer" / "data" / "P2.js")
    assert data["pixels"] == {"width": 2100, "height": 40, "folder": "pixels/P2", "levels": 4, "tile": 512}
    assert (out / "viewer" / "pixels" / "P2" / "3" / "4_0.jpg").exists()
    assert (out / "viewer" / "pixels" / "P1" / "image.jpg").exists()


def test_every_address_of_a_page_exists_and_is_relative(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("the report")
    write_viewer([ViewerImage("P1", image_file(tmp_path / "a.png"))], tmp_path / "report", classes=[])
    page = Page(tmp_path / "report" / "viewer" / "P1.html")
    local = [address for address in page.addresses if address != "data:,"]
    assert len(local) >= 9
    assert all((tmp_path / "report" / "viewer" / address).is_file() for address in local)
    assert len(set(page.ids)) == len(page.ids)
    assert "type=module" not in "".join(page.texts)


def test_ids_of_images_are_escaped(tmp_path: Path) -> None:
    image = '<script>alert(1)</script>" onload="$name'
    pages = write_viewer([ViewerImage(image, image_file(tmp_path / "a.png"))], tmp_path / "out", classes=["<b>"])
    (address,) = pages.values()
    path = tmp_path / "out" / address
    assert path.is_file()
    page = Page(path)
    assert None not in page.scripts, "a script without a file"
    assert page.texts.count(image) == 1  # the heading
    assert "<script>alert" not in path.read_text()
    data = (tmp_path / "out" / "viewer" / "data" / f"{path.stem}.js").read_text()
    assert "<" not in data
    assert read_script(tmp_path / "out" / "viewer" / "data" / f"{path.stem}.js")["image"] == image


def test_an_unreadable_image_has_no_page_and_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    images = [
        ViewerImage("bad", tmp_path / "bad.png"),
        ViewerImage("missing", tmp_path / "missing.png"),
        ViewerImage("good", image_file(tmp_path / "good.png")),
    ]
    with caplog.at_level(logging.WARNING):
        assert write_viewer(images, tmp_path / "out", classes=[]) == {"good": "viewer/good.html"}
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        str(tmp_path / "bad.png"),
        str(tmp_path / "missing.png"),
    ]
    assert all("\n" not in record.getMessage() for record in caplog.records)
    assert [entry["image"] for entry in read_script(tmp_path / "out" / "viewer" / "images.js")] == ["good"]


def test_an_image_in_the_folder_of_the_pages_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "viewer" / "pixels" / "P1"
    folder.mkdir(parents=True)
    path = image_file(folder / "image.jpg")
    before = path.read_bytes()
    with pytest.raises(UserError, match="overlaps the input"):
        write_viewer([ViewerImage("P1", path)], tmp_path / "out", classes=[])
    assert path.read_bytes() == before


def test_images_are_taken_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator of images is not collected first: each can hold many boxes."""
    steps = []
    write = viewer.write_pyramid
    monkeypatch.setattr(
        viewer, "write_pyramid", lambda reader, folder: (steps.append(folder.name), write(reader, folder))[1]
    )

    def images():
        for name in ("P1", "P2"):
            steps.append(f"made {name}")
            yield ViewerImage(name, image_file(tmp_path / f"{name}.png"))

    write_viewer(images(), tmp_path / "out", classes=[])
    assert steps == ["made P1", "P1", "made P2", "P2"]


def test_the_notice_names_the_version_of_the_vendored_script() -> None:
    static = Path(viewer.__file__).parent / "static"
    version = (static / "openseadragon.min.js").read_text(encoding="utf-8").split("\n")[0].split()[-1]
    assert f"OpenSeadragon {version}," in (static / "NOTICE.txt").read_text()
    assert "Redistribution and use" in (static / "OPENSEADRAGON_LICENSE.txt").read_text()
