"""A browser for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import console_errors, missing_browser, set_viewport, start_browser


@pytest.fixture(scope="session")
def running_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium of all tests; skips them where there is none."""
    if reason := missing_browser():
        pytest.skip(reason)
    driver = start_browser(tmp_path_factory.mktemp("browser"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(running_browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A Selenium driver with a new tab of 1280 x 800 pixels, which shares no storage with other tests."""
    first = running_browser.current_window_handle
    running_browser.switch_to.new_window("tab")
    set_viewport(running_browser, 1280, 800)
    console_errors(running_browser)  # those of earlier tests
    yield running_browser
    running_browser.close()
    running_browser.switch_to.window(first)
