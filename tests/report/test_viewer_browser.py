"""The viewer in a browser, opened from disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.bench_viewer import CLASSES as BENCHMARK_CLASSES
from benchmarks.bench_viewer import dense_image
from benchmarks.browser import console_errors, set_viewport
from rotated_atss.report.viewer import write_viewer
from rotated_atss.report.viewer_data import ViewerDetection, ViewerImage, ViewerObject

pytestmark = pytest.mark.browser

CLASSES = ["plane", "ship"]
NASTY = "<img src=x onerror=alert(1)>"
LAYERS = {"gt": 12, "tp": 8, "fp": 6, "fn": 3, "ignored": 4}  # boxes of the example


def square(x: float, y: float, side: float = 20) -> list[float]:
    return [x, y, x + side, y, x + side, y + side / 2, x, y + side / 2]


def example_image(path: Path, width: int, image: str = "P1") -> ViewerImage:
    """An image with boxes on a grid of 50 pixels: ships and planes in turn, scores in steps of a tenth."""
    cv2.imwrite(str(path), np.full((600, width, 3), 90, np.uint8))
    places = iter([square(20 + 50 * (index % 12), 20 + 50 * (index // 12)) for index in range(40)])
    states = ["matched"] * LAYERS["gt"] + ["missed"] * LAYERS["fn"] + ["ignored"] * 3
    objects = [ViewerObject(next(places), CLASSES[index % 2], state) for index, state in enumerate(states)]
    detections = [ViewerDetection(next(places), CLASSES[index % 2], 0.95, 0.8, "tp") for index in range(LAYERS["tp"])]
    scores = [0.3, 0.9, 0.5, 0.7, 0.1, 0.2]
    detections += [ViewerDetection(next(places), "ship", score, 0.2, "fp", "angle") for score in scores]
    detections += [ViewerDetection(square(66, 16, 32), "plane", 0.4, 0.0, "ignored")]  # around the object o1
    return ViewerImage(image, path, objects, detections)


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Callable[..., Any]:
    """Function that writes a viewer of two images and opens the page of the first."""

    def open_first(width: int = 700, link: str = "", image: str = "P1", classes: list[str] = CLASSES) -> Any:
        images = [example_image(tmp_path / "a.png", width, image), example_image(tmp_path / "b.png", 600, "P2")]
        pages = write_viewer(images, tmp_path / "report", classes=classes)
        browser.get((tmp_path / "report" / pages[image]).as_uri() + link)
        wait_until(browser, "return /boxes in view/.test(document.getElementById('status').textContent)")
        return browser

    return open_first


def wait_until(browser: Any, script: str) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda driver: driver.execute_script(script))


def settle(browser: Any) -> None:
    """Wait until the view has not moved for some frames."""
    browser.set_script_timeout(30)
    browser.execute_async_script(
        """const done = arguments[0], viewport = window.RotatedAtss.viewer.viewport;
        let last = "", equal = 0;
        (function check() {
          const now = viewport.getBounds(true).toString();
          equal = now === last ? equal + 1 : 0;
          last = now;
          if (equal > 6) done(); else requestAnimationFrame(check);
        })();"""
    )


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    for key in keys:
        ActionChains(browser).send_keys(key).perform()
    settle(browser)


def status(browser: Any) -> tuple[int, int]:
    """Number of boxes in view, and of boxes that pass the filters."""
    words = browser.find_element("id", "status").text.split()
    return int(words[0]), int(words[2])


def text(browser: Any, name: str) -> str:
    return browser.find_element("id", name).text


def make_narrow(browser: Any) -> None:
    """Give the page the size of a phone, and wait until the image has followed."""
    set_viewport(browser, 390, 844)
    wait_until(browser, "return window.RotatedAtss.viewer.viewport.getContainerSize().x === 390")
    settle(browser)


def fragment(browser: Any) -> str:
    return browser.execute_script("return location.hash")


def zoom(browser: Any) -> float:
    return browser.execute_script("return window.RotatedAtss.viewer.viewport.getZoom()")


def drawn_color(browser: Any, x: float, y: float) -> list[int]:
    """Color of the overlay at a position of the image."""
    return browser.execute_script(
        """const viewer = window.RotatedAtss.viewer, canvas = document.getElementById("boxes");
        const item = viewer.world.getItemAt(0);
        const point = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(arguments[0], arguments[1]));
        return [...canvas.getContext("2d").getImageData(Math.round(point.x), Math.round(point.y), 1, 1).data];""",
        x, y,
    )  # fmt: skip


def is_drawn(browser: Any, x: float, y: float) -> bool:
    return drawn_color(browser, x, y)[3] > 0


@pytest.mark.parametrize("width", [700, 2500], ids=["single file", "tiles"])
def test_the_page_opens_from_disk_and_draws_image_and_boxes(open_page: Callable[..., Any], width: int) -> None:
    browser = open_page(width)
    settle(browser)
    assert console_errors(browser) == []
    assert status(browser) == (33, 33)
    assert text(browser, "counts") == f"8 TP, 6 FP, 3 FN \u00b7 {width} x 600 px"
    wait_until(browser, "return window.RotatedAtss.viewer.world.getItemAt(0).getFullyLoaded()")
    press(browser, "c", "0")  # without captions
    shot = cv2.imdecode(np.frombuffer(browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
    assert (np.abs(shot[150:700, 200:900].astype(int) - 90).max(-1) < 4).mean() > 0.1, "the image is not drawn"
    assert is_drawn(browser, 30, 20), "the upper edge of the first box"
    assert not is_drawn(browser, 30, 45), "between two boxes"


def test_filters_change_the_boxes_that_are_drawn(open_page: Callable[..., Any]) -> None:
    browser = open_page()
    press(browser, "0")
    for number, count in enumerate(LAYERS.values(), 1):
        press(browser, str(number))
        assert status(browser)[1] == 33 - count
        press(browser, str(number))
    assert is_drawn(browser, 30, 20)
    browser.find_element("id", "layer-gt").click()
    settle(browser)
    assert not is_drawn(browser, 30, 20)
    browser.find_element("id", "layer-gt").click()
    browser.find_element("css selector", "#classes label:nth-of-type(2) input").click()  # ship
    assert browser.find_element("css selector", "#classes label:nth-of-type(2) .count").text == "0 / 19"
    browser.find_element("id", "no-classes").click()
    settle(browser)
    assert status(browser) == (0, 0)
    browser.find_element("id", "all-classes").click()
    browser.execute_script(
        "const s = document.getElementById('score'); s.value = 0.5; s.dispatchEvent(new Event('input'));"
    )
    settle(browser)
    assert status(browser)[1] == 33 - 4  # detections with 0.3, 0.1, 0.2 and 0.4; objects have no score
    assert text(browser, "score-value") == "0.50"
    assert text(browser, "error-count") == "6"


def test_keys_step_through_the_errors_by_score_and_size(open_page: Callable[..., Any]) -> None:
    browser = open_page()
    before = zoom(browser)
    visited = []
    for _ in range(9):
        press(browser, "n")
        visited.append(fragment(browser))
    assert visited == ["#d9", "#d11", "#d10", "#d8", "#d13", "#d12", "#o12", "#o13", "#o14"]
    assert zoom(browser) > 2 * before
    press(browser, "n")
    assert fragment(browser) == "#d9", "after the last error comes the first"
    press(browser, "p")
    assert fragment(browser) == "#o14"
    assert text(browser, "selected") == "error 9 of 9"
    press(browser, "\ue00c")  # Escape
    assert fragment(browser) == ""
    assert text(browser, "selected") == "9 errors"


def test_a_link_opens_a_box_and_shows_it_whatever_the_filters(open_page: Callable[..., Any]) -> None:
    browser = open_page(link="#d11")
    settle(browser)
    details = text(browser, "details").split("\n")
    assert details == [
        "class", "ship", "score", "0.70", "IoU", "0.20", "size", "20.0 x 10.0 px", "angle", "0.0\u00b0",
        "detection", "false positive", "error", "angle",
    ]  # fmt: skip
    assert status(browser)[0] < 33, "zoomed"
    press(browser, "3")
    browser.execute_script("location.hash = '#d9'")
    wait_until(browser, "return document.getElementById('details').textContent.includes('0.90')")
    assert browser.find_element("id", "layer-fp").is_selected()
    browser.execute_script("location.hash = '#d99'")
    wait_until(browser, "return document.getElementById('selected').textContent === 'no box d99 in this image'")
    assert console_errors(browser) == []


def test_a_step_to_a_long_box_never_shows_more_than_the_whole_image(browser: Any, tmp_path: Path) -> None:
    """Five lengths around a box are more than the image if the box is longer than a fifth of it."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((600, 700, 3), 90, np.uint8))
    long = [50.0, 50.0, 550.0, 50.0, 550.0, 90.0, 50.0, 90.0]
    image = ViewerImage("P1", tmp_path / "a.png", [], [ViewerDetection(long, "ship", 0.9, 0.2, "fp", "angle")])
    pages = write_viewer([image], tmp_path / "report", classes=CLASSES)
    browser.get((tmp_path / "report" / pages["P1"]).as_uri())
    wait_until(browser, "return /boxes in view/.test(document.getElementById('status').textContent)")
    settle(browser)
    whole = zoom(browser)
    press(browser, "n")
    assert fragment(browser) == "#d0"
    assert zoom(browser) >= whole * 0.999
    assert status(browser) == (1, 1)


def place_of(browser: Any, x: float, y: float) -> list[int]:
    """Position on the page of a position in the image."""
    return browser.execute_script(
        """const item = window.RotatedAtss.viewer.world.getItemAt(0);
        const point = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(arguments[0], arguments[1]));
        const stage = document.getElementById("image").getBoundingClientRect();
        return [Math.round(stage.left + point.x), Math.round(stage.top + point.y)];""",
        x, y,
    )  # fmt: skip


def touch(browser: Any, *steps: list[tuple[float, float]]) -> None:
    """Put fingers on positions of the page, move them from step to step, and lift them."""
    kinds = ["touchStart", *["touchMove"] * (len(steps) - 1), "touchEnd"]
    for kind, points in zip(kinds, [*steps, []]):
        positions = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": positions})
        time.sleep(0.02)


def test_fingers_select_move_and_zoom(open_page: Callable[..., Any]) -> None:
    browser = open_page()
    make_narrow(browser)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    press(browser, "0")
    before = zoom(browser)
    browser.execute_script("window.RotatedAtss.viewer.innerTracker.clickTimeThreshold = 10_000;")  # on a busy machine
    for _ in range(5):  # a slow tap, on a busy machine, is a long press
        touch(browser, [place_of(browser, 80, 25)])
        settle(browser)
        if fragment(browser):
            break
    assert fragment(browser) == "#o1"
    assert zoom(browser) == before, "a tap does not zoom"
    touch(browser, [(150, 400), (240, 400)], *[[(150 - 9 * step, 400), (240 + 9 * step, 400)] for step in range(1, 10)])
    settle(browser)
    assert zoom(browser) > 1.5 * before
    center = "return window.RotatedAtss.viewer.viewport.getCenter().x;"
    x = browser.execute_script(center)
    touch(browser, *[[(300 - 20 * step, 400)] for step in range(8)])
    settle(browser)
    assert browser.execute_script(center) > x
    assert console_errors(browser) == []


COPY = """
const {overlay, Overlay, View} = window.RotatedAtss;
function drawn(...views) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, {width: 500, height: 400});
  const made = new Overlay(overlay.boxes, canvas);
  for (const view of views) made.draw(view, 1, {});
  return canvas.getContext("2d").getImageData(0, 0, 500, 400).data;
}
const scale = 0.75, at = (x, y) => new View(30 + x / scale, 20 + y / scale, scale, 500, 400);
const copied = drawn(at(0, 0), at(0, 0), at(37, -21)), direct = drawn(at(37, -21)), still = drawn(at(0, 0));
const differing = (a, b) => a.reduce((sum, value, index) => sum + (Math.abs(value - b[index]) > 16), 0) / a.length;
return [differing(copied, direct), differing(copied, still)];
"""


def test_boxes_that_are_moved_equal_boxes_that_are_drawn(browser: Any, tmp_path: Path) -> None:
    """Many boxes are drawn once and copied while the view moves."""
    image = dense_image(tmp_path / "dense.png", 900, 800)
    (page,) = write_viewer([image], tmp_path / "report", classes=BENCHMARK_CLASSES).values()
    browser.get((tmp_path / "report" / page).as_uri())
    wait_until(browser, "return /boxes in view/.test(document.getElementById('status').textContent)")
    moved, not_moved = browser.execute_script(COPY)
    assert not_moved > 0.2
    assert moved < 0.005  # borders that overlap in parts of the drawing


def test_pointer_shows_and_selects_the_box_below_it(open_page: Callable[..., Any]) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    browser = open_page()
    press(browser, "0")
    actions = ActionBuilder(browser)
    actions.pointer_action.move_to_location(*place_of(browser, 80, 25))
    actions.perform()
    wait_until(browser, "return !document.getElementById('tooltip').hidden")
    assert "20.0 x 10.0 px" in text(browser, "tooltip")
    ActionChains(browser).click().perform()
    wait_until(browser, "return location.hash === '#o1'")
    assert "detected" in text(browser, "details")
    for link in ("#d14", "#o1"):
        time.sleep(0.4)  # two clicks at once zoom
        ActionChains(browser).click().perform()
        wait_until(browser, f"return location.hash === '{link}'")


def test_keys_zoom_move_and_explain(open_page: Callable[..., Any]) -> None:
    browser = open_page()
    settle(browser)
    start = zoom(browser)
    press(browser, "+", "+")
    assert zoom(browser) == pytest.approx(start * 2.25, rel=0.01)
    center = "const c = window.RotatedAtss.viewer.viewport.getCenter(); return [c.x, c.y];"
    x, y = browser.execute_script(center)
    press(browser, "\ue014", "\ue015")  # right, down
    moved_x, moved_y = browser.execute_script(center)
    assert moved_x > x
    assert moved_y > y
    press(browser, "-", "0")
    assert zoom(browser) == pytest.approx(start)
    press(browser, "?")
    assert browser.execute_script("return document.getElementById('help').open")
    press(browser, "n")
    assert fragment(browser) == "", "keys of the page do nothing while the dialog is open"
    press(browser, "\ue00c")
    assert not browser.execute_script("return document.getElementById('help').open")


def test_the_list_of_errors_works_with_the_keyboard(open_page: Callable[..., Any]) -> None:
    browser = open_page()
    entries = browser.find_elements("css selector", "#error-list button")
    assert [entry.get_attribute("data-id") for entry in entries][:2] == ["d9", "d11"]
    browser.execute_script("arguments[0].focus()", entries[1])
    wait_until(browser, "return !document.getElementById('tooltip').hidden")
    assert "0.70" in text(browser, "tooltip")
    press(browser, "\ue007")  # Enter
    assert fragment(browser) == "#d11"
    assert entries[1].get_attribute("aria-current") == "true"
    browser.find_element("css selector", "#error-kind option[value='missed']").click()
    assert [each.get_attribute("data-id") for each in browser.find_elements("css selector", "#error-list button")] == [
        "o12", "o13", "o14",
    ]  # fmt: skip


def test_the_next_image_keeps_the_filters(open_page: Callable[..., Any]) -> None:
    browser = open_page()
    press(browser, "2")
    browser.find_element("id", "next-image").click()
    wait_until(
        browser, "return /P2/.test(document.title) && /in view/.test(document.getElementById('status').textContent)"
    )
    assert status(browser)[1] == 33 - LAYERS["tp"]
    assert not browser.find_element("id", "layer-tp").is_selected()
    assert browser.find_element("id", "next-image").get_attribute("aria-disabled") == "true"
    press(browser, "[")
    wait_until(browser, "return /P1/.test(document.title)")
    assert console_errors(browser) == []


def test_a_narrow_screen_shows_everything_without_scrolling_sideways(open_page: Callable[..., Any]) -> None:
    browser = open_page()
    make_narrow(browser)
    fits = "const e = document.documentElement; return e.scrollWidth <= innerWidth && e.scrollHeight <= innerHeight;"
    press(browser, "0")
    assert browser.execute_script(fits)
    assert status(browser) == (33, 33)
    assert not browser.find_element("id", "panel").is_displayed()
    browser.find_element("id", "panel-button").click()
    assert browser.find_element("id", "panel").is_displayed()
    assert browser.execute_script(fits)
    browser.find_element("id", "layer-fp").click()
    browser.find_element("id", "next-error").click()
    settle(browser)
    assert fragment(browser) == "#o12", "false positives are hidden, so the first missed object comes first"
    small = browser.execute_script(
        """return [...document.querySelectorAll("button, .button, select, label.row")]
        .filter((each) => each.offsetParent && each.getBoundingClientRect().height < 26)
        .map((each) => each.outerHTML);"""
    )
    assert small == [], "controls too small for a finger"


def test_untrusted_names_do_not_run(open_page: Callable[..., Any], tmp_path: Path) -> None:
    browser = open_page(image=NASTY, classes=[*CLASSES, "</script><script>document.title='run'</script>"])
    settle(browser)
    assert browser.find_element("css selector", "h1").text == NASTY
    assert browser.title == f"{NASTY} - boxes"
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert console_errors(browser) == []
