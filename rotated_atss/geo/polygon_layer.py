"""The polygons of one layer of a vector file, with their columns and with notes on omitted and changed features."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Note = tuple[str, str]
"""Kind of a note. A note such as ``2 polygons with holes: ...`` is printed from a count, a noun, and the text after it.

The two strings are the noun in the singular, and the text.
"""

NOT_POLYGONS: Note = ("feature", " without a polygon (point, line, no geometry): left out")
MULTIPOLYGONS: Note = ("multipolygon", ": every part is an object")
HOLES: Note = ("polygon", " with holes: holes are filled")


@dataclass(frozen=True)
class PolygonLayer:
    """The polygons of one layer of a vector file, with their columns.

    Attributes:
        path: The file.
        crs: CRS of the coordinates, as WKT or ``AUTHORITY:CODE``.
        feature_ids: (N,) id of the feature of each polygon; parts of a multipolygon have the same id.
        rings: (N,) object array of outer rings. Each ring is an array (K, 2) of its corners, x (easting or longitude)
            and y (northing or latitude); the last corner does not repeat the first.
        columns: (N,) values by column name.
        notes: Number of features or polygons by kind of note: :data:`NOT_POLYGONS`, :data:`MULTIPOLYGONS`,
            :data:`HOLES`.
    """

    path: Path
    crs: str
    feature_ids: NDArray[np.int64]
    rings: NDArray[np.object_]
    columns: dict[str, NDArray[Any]]
    notes: Counter[Note]
