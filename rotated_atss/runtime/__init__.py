"""Prediction with exported graphs on ONNX Runtime or OpenVINO, without the packages for training.

- :func:`load_detector`: an exported file as a detector for :func:`rotated_atss.tiling.predict.predict_image`.
- ``session``: loading and running of graphs on either runtime.
- ``selection``: selection of detections from the outputs of a graph.
- ``compare``: differences between the outputs of two forms of a model.
- ``quantize``: quantization to int8.

No module imports torch.
"""

from rotated_atss.runtime.detector import GraphDetector, load_detector

__all__ = ["GraphDetector", "load_detector"]
