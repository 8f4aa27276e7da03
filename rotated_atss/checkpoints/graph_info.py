"""Graph metadata: how the outputs of an exported graph become detections.

An exported file contains graph metadata in addition to model metadata (:mod:`rotated_atss.checkpoints.model_info`).

An exported graph contains the network and the decoding of its boxes. Its input ``images`` is (B, 3, H, W) float32, RGB,
0 to 255. Its outputs are ``scores`` (B, A, C) and ``boxes`` (B, A, 5) for B images, A priors and C classes. The priors
are sorted by level, and the boxes are in pixels of the input; horizontal boxes have angle 0. The graph does not select
candidates, clip or rescale boxes, or run NMS.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rotated_atss.checkpoints._field_checks import check_choice, check_int, field_error, parse_dataclass, set_field
from rotated_atss.errors import UserError

GRAPH_KEY = "rotated_atss.graph"
GRAPH_FORMAT = 1
PRECISIONS = ("float32", "float16", "int8")
RANKINGS = ("class", "final")
CLAMPS = ("none", "centers", "border")
INPUT, SCORES, BOXES, CLASS_SCORES = "images", "scores", "boxes", "class_scores"  # names of input and outputs


@dataclass(frozen=True, kw_only=True)
class GraphInfo:
    """Graph metadata: how the outputs of an exported graph become detections.

    Attributes:
        precision: Number format in which the network computes: ``float32``, ``float16`` or ``int8``. Input and outputs
            are float32.
        strides: Stride of each level, pixels.
        priors_per_location: Number of priors per location of each level.
        rank_by: Score that ranks the candidates of a level: ``class`` (class score) or ``final`` (the output
            ``scores``). The two scores are the same unless the head predicts centerness. If it does, ``scores`` are
            class scores times centerness, and the additional output ``class_scores`` (B, A, C) has the class scores.
            The score threshold always applies to the class score.
        clamp: ``none``, ``centers`` (clamp the centers of boxes to the image) or ``border`` (clip horizontal boxes to
            the image).
        inclusive_pixels: Whether boxes are scaled to the original image as in the official ATSS code: after NMS instead
            of before, and with x2 and y2 as the indices of the last pixels inside the box.

    Raises:
        UserError: A value is wrong.

    Example:
        >>> info = GraphInfo(precision="float32", strides=(8, 16), priors_per_location=(1, 1))
        >>> GraphInfo.from_json(info.to_json()) == info
        True
        >>> info.level_sizes(64, 96)  # 8 x 12 priors with stride 8, 4 x 6 priors with stride 16
        [96, 24]
    """

    precision: str
    strides: tuple[int, ...]
    priors_per_location: tuple[int, ...]
    rank_by: str = "class"
    clamp: str = "none"
    inclusive_pixels: bool = False

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        for name in ("strides", "priors_per_location"):
            values = getattr(self, name)
            if not isinstance(values, (list, tuple)) or not values:
                raise field_error(name, "a list of integers", values)
            set_field(self, name, tuple(check_int(name, value, 1) for value in values))
        if len(self.strides) != len(self.priors_per_location):
            raise field_error("priors_per_location", f"{len(self.strides)} integers", self.priors_per_location)
        check_choice("rank_by", self.rank_by, RANKINGS)
        check_choice("clamp", self.clamp, CLAMPS)
        if not isinstance(self.inclusive_pixels, bool):
            raise field_error("inclusive_pixels", "true or false", self.inclusive_pixels)

    def level_sizes(self, height: int, width: int) -> list[int]:
        """Return the number of priors per level for an input of this size in pixels."""
        return [
            math.ceil(height / stride) * math.ceil(width / stride) * priors
            for stride, priors in zip(self.strides, self.priors_per_location)
        ]

    def to_json(self) -> str:
        """Format the metadata as JSON on one line."""
        return json.dumps({"format": GRAPH_FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: object, where: object = None) -> GraphInfo:
        """Parse and check the JSON string of :meth:`to_json`.

        Args:
            text: The string.
            where: The file, for errors.

        Raises:
            UserError: The text is not JSON or has a newer format, a field is missing or unknown, or a value is wrong.
        """
        return parse_dataclass(
            cls, "the graph metadata", text, where, newest_format=GRAPH_FORMAT, hint="export the model again"
        )


def read_graph_info(metadata: Mapping[str, str], where: object = None) -> GraphInfo:
    """Parse the graph metadata under :data:`GRAPH_KEY` in the metadata of an exported file.

    Args:
        metadata: Metadata of the file, strings by key.
        where: The file, for errors.

    Raises:
        UserError: The key is missing, or the graph metadata is damaged.

    Example:
        >>> read_graph_info({}, "other.onnx")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: other.onnx: not exported by rotated-atss ...
    """
    if GRAPH_KEY not in metadata:
        raise UserError("not exported by rotated-atss", where=where, hint="rotated-atss export CONFIG CHECKPOINT")
    return GraphInfo.from_json(metadata[GRAPH_KEY], where)
