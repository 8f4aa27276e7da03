"""Polygons of a vector file with their columns, and what reading it leaves out or changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OTHERS = "feature", " other than a polygon (point, line, no geometry): left out"
MULTIPOLYGONS = "multipolygon", ": every part is an object"
HOLES = "polygon", " with holes: holes are filled"
"""Notes, as a noun in the singular and the text after it."""


@dataclass(frozen=True)
class PolygonLayer:
    """The polygons of a layer.

    Attributes:
        path: The file.
        crs: CRS as WKT or ``AUTHORITY:CODE``.
        features: (N,) feature id of each polygon; the parts of a multipolygon have the same one.
        rings: (N,) object, corners of the outer ring of each polygon, (K, 2) x (easting or longitude) and y.
        columns: (N,) values by column name.
        notes: How often something was left out or changed, by a noun in the singular and the text after it.
    """

    path: Path
    crs: str
    features: NDArray[np.int64]
    rings: NDArray[np.object_]
    columns: dict[str, NDArray[Any]]
    notes: Counter[tuple[str, str]]
