"""Prediction with exported graphs on ONNX Runtime or OpenVINO, without the packages for training.

- :func:`load_detector`: load an exported file as a detector for :func:`rotated_atss.tiling.predict.predict_image`.
- ``session``: load graphs (exported ONNX files) on either runtime, and run them.
- ``selection``: select detections from the outputs of a graph.
- ``compare``: compare the outputs of two forms of a model, for example PyTorch and ONNX.
- ``quantize``: quantize graphs to int8.

No module imports torch.
"""

from rotated_atss.runtime.detector import GraphDetector, load_detector

__all__ = ["GraphDetector", "load_detector"]
