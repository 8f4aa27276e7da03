"""Define the polygons of a layer of a vector file, with columns and notes on omitted and changed features."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOT_POLYGONS = ("feature", " other than a polygon (point, line, no geometry): left out")
MULTIPOLYGONS = ("multipolygon", ": every part is an object")
HOLES = ("polygon", " with holes: holes are filled")
"""Kinds of notes: a singular noun and the text after it. A note is printed as number, noun and text."""


@dataclass(frozen=True)
class PolygonLayer:
    """The polygons of a layer.

    Attributes:
        path: The file.
        crs: CRS of the coordinates, as WKT or ``AUTHORITY:CODE``.
        features: (N,) feature id of each polygon; parts of a multipolygon have the same id.
        rings: (N,) object array of outer rings: the corners of each, (K, 2) x (easting or longitude) and y.
        columns: (N,) values by column name.
        notes: Number of features or polygons by kind of note: :data:`NOT_POLYGONS`, :data:`MULTIPOLYGONS`,
            :data:`HOLES`.
    """

    path: Path
    crs: str
    features: NDArray[np.int64]
    rings: NDArray[np.object_]
    columns: dict[str, NDArray[Any]]
    notes: Counter[tuple[str, str]]
