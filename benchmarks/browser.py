"""Headless Chromium for tests and benchmarks of pages: rendered on the CPU, without a network."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


def missing_browser() -> str:
    """Return why no browser can be started; empty if one can."""
    if find_spec("selenium") is None:
        return "no selenium (make setup)"
    if _find(BROWSERS) is None or _find(("chromedriver",)) is None:
        return "no Chromium: chromium and chromedriver are not on the PATH (make test-browser)"
    return ""


def start_browser(profile: Path, width: int = 1280, height: int = 800) -> Any:
    """Start Chromium and return its Selenium driver, which the caller quits.

    Args:
        profile: A new folder.
        width: Width of the page, pixels.
        height: Height of the page, pixels.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(_find(BROWSERS))
    sandbox = ("--no-sandbox",) if getattr(os, "geteuid", lambda: 1)() == 0 else ()
    for flag in (*FLAGS, *sandbox, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(_find(("chromedriver",))))
    set_viewport(driver, width, height)
    return driver


def set_viewport(driver: Any, width: int, height: int) -> None:
    """Set the size of the page in pixels, also below the smallest window of the browser, and give it the focus."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Page.bringToFront", {})
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})


def console_errors(driver: Any) -> list[str]:
    """Return the warnings and errors of the console since the last call."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]


def _find(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


if __name__ == "__main__":
    sys.exit(missing_browser() or None)
