"""Build HTML elements in Python; all text is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape as _escape
from typing import Any, TypeAlias

SVG_VOID = frozenset({"circle", "line", "path", "rect"})  # SVG elements that need no end tag if they are empty
# VOID also contains the HTML elements that never have an end tag.
VOID = SVG_VOID | {"br", "col", "hr", "img", "input", "link", "meta"}


class Html(str):
    """Text that is already HTML, so that :func:`render` does not escape it again."""

    __slots__ = ()


Content: TypeAlias = "str | int | Iterable[Content] | None"
"""What an element can contain: text, HTML, integers, None (adds nothing), and iterables of content, nested or not."""


def render(*content: Content) -> Html:
    """Join content to HTML.

    :class:`Html` is not changed, other text is escaped, None is left out, and iterables are flattened.

    Example:
        >>> render("a < b", None, [Html("<br>"), 3])
        'a &lt; b<br>3'
    """
    parts = []
    for item in content:
        if item is None:
            continue
        if isinstance(item, Html):
            parts.append(str(item))
        elif isinstance(item, (str, int)):
            parts.append(_escape(str(item)))
        else:
            parts.append(render(*item))
    return Html("".join(parts))


def element(name: str, /, *content: Content, **attributes: Any) -> Html:
    """Return an HTML or SVG element.

    Args:
        name: Name of the element.
        content: What the element contains, see :func:`render`.
        attributes: Attributes by name. In names, ``_`` stands for ``-``. A ``_`` at the end is dropped, so that
            ``class_`` can be passed although ``class`` is a Python keyword. True writes an attribute without a value;
            None and False omit the attribute.

    Example:
        >>> element("td", "a & b", class_="number", data_sort=0.5, hidden=False)
        '<td class="number" data-sort="0.5">a &amp; b</td>'
        >>> element("input", type="search", required=True)
        '<input type="search" required>'
    """
    parts = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{_escape(str(value))}"')
    name_and_attributes = " ".join(parts)
    if name in VOID and not content:
        return Html(f"<{name_and_attributes}/>" if name in SVG_VOID else f"<{name_and_attributes}>")
    return Html(f"<{name_and_attributes}>{render(*content)}</{name}>")


def json_script(value: Any, **attributes: Any) -> Html:
    r"""Return a ``script`` element with JSON data. No string in the data can close the element.

    Args:
        value: Dictionaries, lists, strings, finite numbers, booleans and None.
        attributes: Attributes of the element, as for :func:`element`.

    Example:
        >>> json_script(["</script>"], id="names")
        '<script type="application/json" id="names">["\\u003c/script\\u003e"]</script>'
    """
    return element("script", Html(script_text(value)), type="application/json", **attributes)


def script_text(value: Any) -> str:
    r"""Encode a value as ASCII JSON for a ``script`` element or a script.

    The characters ``<``, ``>`` and ``&`` are escaped, so that no string in the value can end the element.

    Args:
        value: Dictionaries, lists, strings, finite numbers, booleans and None.

    Example:
        >>> script_text({"image": "a > b"})
        '{"image":"a \\u003e b"}'
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
