"""Adaptive Training Sample Selection for oriented boxes in aerial images.

Importing this package loads neither torch nor any OpenMMLab package: ask for what you need, as in
``from rotated_atss.ops import rotated_iou``.
"""

__version__ = "0.1.0"
