"""Derive the file names of pages from image ids. The names are valid on all operating systems and in URLs."""

from __future__ import annotations

import hashlib
import re

# Maximum number of characters before the hash and the suffix. File systems allow names of 255 bytes.
_MAX_LENGTH = 80
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # reserved on Windows


class PageNames:
    """Unique file names, without suffix, of the pages of a report.

    Example:
        >>> names = PageNames()
        >>> names.add("P0001"), names.add("p0001"), names.add("../a<b>")
        ('P0001', 'p0001-e0e2bc38', '_a_b_-2358055d')
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def add(self, image_id: str) -> str:
        """Return the page name of an image: its id, with characters that are not allowed replaced by ``_``.

        A hash of the id is appended if the result differs from the id, because other ids could give the same result. It
        is also appended if an earlier name is the same except for case, because some file systems do not distinguish
        case.
        """
        # a leading "." would hide a file, and a leading "-" would look like an option of a command
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", image_id).lstrip(".-")[:_MAX_LENGTH]
        if not name or _DEVICE_NAMES.fullmatch(name):
            name = f"image_{name}"
        if name != image_id or name.lower() in self._used:
            digest = hashlib.sha256(image_id.encode(errors="surrogatepass")).hexdigest()
            name = f"{name}-{digest[:8]}"
        while name.lower() in self._used:  # for example, because the same id was added before
            name += "-2"
        self._used.add(name.lower())
        return name
