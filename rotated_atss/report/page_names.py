"""Derive file names that are valid on all systems and in addresses from image ids, which can be any text."""

from __future__ import annotations

import hashlib
import re

_MAX_LENGTH = 80  # characters; Windows limits paths to 260
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # reserved on Windows


class PageNames:
    """Unique names of the pages of a report.

    Example:
        >>> names = PageNames()
        >>> names.add("P0001"), names.add("p0001"), names.add("../a<b>")
        ('P0001', 'p0001-e0e2bc38', '_a_b_-2358055d')
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def add(self, image: str) -> str:
        """Return the name of the page of an image: the image id, or its valid characters and a hash of the id.

        A hash is appended if the id is changed, or if the name differs from an earlier one only in case.
        """
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", image).lstrip(".-")[:_MAX_LENGTH]
        if not name or _DEVICES.fullmatch(name):
            name = f"image_{name}"
        if name != image or name.lower() in self._used:
            digest = hashlib.sha256(image.encode(errors="surrogatepass")).hexdigest()
            name = f"{name}-{digest[:8]}"
        while name.lower() in self._used:  # the id was added before
            name += "-2"
        self._used.add(name.lower())
        return name
