"""The report page in Chromium: sorting, filter, curves, widths, keyboard, no errors."""

from __future__ import annotations

from typing import Any

import pytest

from rotated_atss.report.pages import write_pages
from tests.report.example import HOSTILE_IMAGE, example_report

pytestmark = pytest.mark.browser
REPORT = example_report()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    baseline = example_report(seed=1)
    return write_pages(REPORT, tmp_path_factory.mktemp("page"), baseline=baseline).as_uri()


def resize(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def console(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]


def column(browser: Any, table: str, index: int) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(row => row.cells[arguments[1]].dataset.sort)"
    return browser.execute_script(script, f"{table} tbody tr", index)


def test_sorting_filter_and_curves(browser, address) -> None:
    resize(browser, 1280)
    browser.get(address)
    header = browser.find_element("css selector", "#classes th:nth-child(2) button")
    header.click()
    aps = sorted((each["AP50"] for each in REPORT["classes"] if each["AP50"] is not None), reverse=True)
    assert column(browser, "#classes", 1) == [*map(str, aps), ""], "undefined values are last"
    header.click()
    assert column(browser, "#classes", 1) == [*map(str, aps[::-1]), ""]
    assert browser.execute_script("return document.querySelector('#classes [aria-sort]').ariaSort") == "ascending"
    browser.find_element("css selector", "#classes th button").click()
    assert column(browser, "#classes", 0) == sorted((each["name"] for each in REPORT["classes"]), key=str.lower)
    assert len(browser.find_elements("css selector", "#classes [aria-sort]")) == 1

    field = browser.find_element("id", "image-filter")
    field.send_keys(HOSTILE_IMAGE[:5])
    shown = [row for row in browser.find_elements("css selector", "#images tbody tr") if row.is_displayed()]
    assert len(shown) == 1
    assert browser.find_element("id", "image-count").text == "1 of 40 images"

    button = browser.find_element("css selector", ".chooser button[data-series='2']")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    chosen = browser.find_elements("css selector", ".curve.chosen")
    assert {path.get_attribute("data-series") for path in chosen} == {"2"}
    assert len(chosen) == 4, "two charts, each with the baseline"
    assert len({path.value_of_css_property("stroke") for path in chosen}) == 1
    browser.find_element("css selector", ".chooser .reset").click()
    assert browser.find_elements("css selector", ".curve.chosen") == []
    assert browser.execute_script("return window.injected") is None
    assert console(browser) == []


def test_keyboard(browser, address) -> None:
    from selenium.webdriver import ActionChains, Keys

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    browser.get(address)
    press(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("class") == "skip"
    press(Keys.ENTER, Keys.TAB)
    assert browser.execute_script("return document.querySelector('main').contains(document.activeElement)")

    browser.execute_script("document.getElementById('confusion-counts').focus()")
    counts = browser.find_element("css selector", "#confusion td .n")
    assert counts.is_displayed()
    press(Keys.ARROW_RIGHT)
    assert not counts.is_displayed()
    row = REPORT["confusion"]["matrix"][0]
    assert browser.find_element("css selector", "#confusion td .p").text == f"{100 * row[0] / sum(row):.1f}"

    browser.execute_script("document.querySelector('#classes th button').focus()")
    press(Keys.SPACE)
    assert browser.find_element("css selector", "#classes [aria-sort]").get_attribute("aria-sort") == "ascending"

    browser.execute_script("document.querySelector('svg.curves').focus()")
    readout = browser.find_element("css selector", ".readout")
    texts = [readout.text]
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.END):
        press(key)
        texts.append(readout.text)
    assert len(set(texts)) == 4
    assert texts[0].startswith("all classes: score ")
    curve = REPORT["curves"]["swimming-pool"]
    assert texts[-1] == "swimming-pool: score {:.3f}, precision {:.3f}, recall {:.3f}, F1 {:.3f}".format(
        *(round(curve[field][-1], 4) for field in ("score", "precision", "recall", "f1"))
    )
    press(Keys.ENTER)
    assert browser.find_elements("css selector", ".chooser [aria-pressed='true']")
    assert console(browser) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_does_not_scroll_sideways(browser, address, width: int) -> None:
    resize(browser, width)
    browser.get(address)
    browser.execute_script("document.querySelector('details').open = true")
    widths = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1] == width
    matrix = browser.execute_script(
        "const box = document.querySelector('#confusion .scroll'); return box.scrollWidth > box.clientWidth"
    )
    assert matrix is (width < 500)
    assert console(browser) == []


def test_the_page_is_complete_without_scripts(browser, address) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(address)
    assert len(browser.find_elements("css selector", "#classes tbody tr")) == len(REPORT["classes"])
    hidden = browser.find_elements("css selector", ".chooser, .filter, th button")
    assert [each for each in hidden if each.is_displayed()] == []
    browser.find_element("css selector", "label[for='confusion-shares']").click()
    assert browser.find_element("css selector", "#confusion td .p").is_displayed()


def test_the_page_prints_without_controls(browser, address) -> None:
    browser.get(address)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.find_element("css selector", "nav").is_displayed()
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].map(box => getComputedStyle(box).overflow)"
    )
    assert set(boxes) == {"visible"}
