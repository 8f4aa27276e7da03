"""Rotated ATSS: oriented object detection in aerial images.

Importing this package loads neither torch nor an OpenMMLab package. Import the modules that you need, for
example ``from rotated_atss.ops import rotated_iou``.
"""

__version__ = "0.1.0"
