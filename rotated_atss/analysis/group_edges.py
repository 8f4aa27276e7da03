"""Define the intervals ``low <= value < high`` of size, aspect ratio and angle by which reports group objects.

The values are those of :class:`rotated_atss.analysis.shapes.Shapes`.
"""

import math

SIZE_EDGES_PX = (0, 8, 16, 32, 64, 128, 256, 512, math.inf)
ASPECT_EDGES = (1, 1.5, 2, 3, 5, 8, math.inf)
ANGLE_EDGES_DEG = tuple(range(-90, 91, 15))
