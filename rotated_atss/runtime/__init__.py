"""Prediction with exported graphs on ONNX Runtime or OpenVINO, without the packages for training.

- :func:`load_detector`: an exported file as a detector for :func:`rotated_atss.tiling.predict.predict_image`.
- ``session``: the runtimes.
"""

from rotated_atss.runtime.detector import GraphDetector, load_detector

__all__ = ["GraphDetector", "load_detector"]
