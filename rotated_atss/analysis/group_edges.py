"""Define the edges of the groups into which reports divide objects by size, aspect ratio and angle.

An object belongs to the group with ``lower edge <= value < upper edge``, with its value as defined by
:class:`rotated_atss.analysis.shapes.Shapes`: the size is the square root of the area, the angle that of the long side.
"""

import math

SIZE_EDGES_PX = (0, 8, 16, 32, 64, 128, 256, 512, math.inf)
ASPECT_EDGES = (1, 1.5, 2, 3, 5, 8, math.inf)
ANGLE_EDGES_DEG = tuple(range(-90, 91, 15))
