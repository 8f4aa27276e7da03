"""Any text survives as text in content, attributes and JSON."""

from __future__ import annotations

import json
import re

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotated_atss.report.html import Html, element, json_script, render

# without characters that HTML cannot represent: controls, and line ends that parsers replace
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="\r\x00"))


@given(TEXT)
def test_text_in_content_and_attributes(text: str) -> None:
    html = "<!DOCTYPE html><title>t</title>" + element("p", text, title=text)
    page = html5lib.HTMLParser(namespaceHTMLElements=False).parse(html)
    (paragraph,) = page.iter("p")
    assert (paragraph.text or "") == text
    assert paragraph.get("title") == text
    assert len(paragraph) == 0


@given(st.dictionaries(TEXT, st.lists(TEXT | st.integers() | st.none())))
def test_json_in_a_script(value: object) -> None:
    html = "<!DOCTYPE html><title>t</title>" + json_script(value, id="data") + "<p>end</p>"
    page = html5lib.HTMLParser(namespaceHTMLElements=False).parse(html)
    assert json.loads(page.find(".//script").text) == value
    assert [paragraph.text for paragraph in page.iter("p")] == ["end"]


def test_html_is_not_escaped_twice() -> None:
    assert render(element("b", "<"), [Html("<br>"), None, ["&", 0]]) == "<b>&lt;</b><br>&amp;0"


def test_numbers_of_json_are_finite() -> None:
    with pytest.raises(ValueError, match=re.escape("not JSON compliant")):
        json_script([float("nan")])
