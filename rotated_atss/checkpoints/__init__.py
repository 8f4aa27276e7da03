"""Conversion of checkpoints of mmrotate, MMDetection and the official ATSS to models of this package.

The source projects are neither imported nor needed.
"""

from rotated_atss.checkpoints.convert import Conversion, convert_checkpoint
from rotated_atss.checkpoints.keys import SOURCES
from rotated_atss.checkpoints.origin import Origin, find_origin
from rotated_atss.checkpoints.target import Target
from rotated_atss.checkpoints.weight_files import read_safetensors, save_weights

__all__ = [
    "SOURCES",
    "Conversion",
    "Origin",
    "Target",
    "convert_checkpoint",
    "find_origin",
    "read_safetensors",
    "save_weights",
]
