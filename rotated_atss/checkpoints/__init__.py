"""Checkpoints of other projects as weights of ours: whose they are (``origin``), what their parameters are called
(``keys``), which config they are for (``match``), how their heads write boxes (``deltas``), and the files (``files``).
Plain torch; nothing of those projects is imported or needed.
"""

from rotated_atss.checkpoints.convert import Conversion, Target, convert_checkpoint
from rotated_atss.checkpoints.keys import SOURCES
from rotated_atss.checkpoints.origin import Origin, find_origin
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
