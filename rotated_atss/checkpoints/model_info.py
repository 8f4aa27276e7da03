"""Model metadata: config, classes, windows, thresholds and everything else that is needed to use a model.

A model file stores its metadata as one JSON string under the key :data:`KEY`: in ``meta`` of a ``.pth`` checkpoint, in
the header of a ``.safetensors`` file or in the metadata of an ONNX file. Reading the metadata never runs code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rotated_atss.checkpoints._field_checks import (
    build_dataclass,
    check_choice,
    check_number,
    check_string,
    check_strings,
    field_error,
    parse_dataclass,
    set_field,
)
from rotated_atss.checkpoints._model_parts import Preprocessing, Thresholds, TrainingData, Window
from rotated_atss.checkpoints.config_text import parse_config_text
from rotated_atss.errors import UserError, count_of

__all__ = ["KEY", "WHOLE_IMAGE", "ModelInfo", "Preprocessing", "Thresholds", "TrainingData", "Window", "read_info"]

KEY = "rotated_atss"
FORMAT = 1  # version of the JSON fields; files with a newer format are rejected
BOX_TYPES = ("obb", "hbb")
ANGLE_VERSIONS = ("oc", "le90", "le135")
WHOLE_IMAGE = 0  # window size for detection on whole images


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Model metadata: everything that is needed to use a model, and where the model comes from.

    Attributes:
        config_name: Name of the config.
        classes: Class names in the order of the class indices.
        box_type: ``obb`` for oriented boxes, ``hbb`` for horizontal boxes.
        window: Size and overlap of the windows in which the detector processes an image.
        preprocessing: Conversion of the pixels of a window to the input of the network.
        thresholds: Thresholds and limits that select the detections.
        config: The resolved config as Python assignments of literals, which :meth:`config_values` parses; None if the
            config has values that cannot be written as literals.
        angle_version: ``oc``, ``le90`` or ``le135``; None for horizontal boxes.
        ground_resolution: Meters per pixel of the training images; None if unknown.
        training_data: What the model was trained on; None if unknown, as for converted weights.
        origin: Source and file of converted weights; None for a model trained with this package.
        package_version: Version of the package that wrote the model file.
        commit: Commit of the working copy that wrote the model file; None for an installed package.

    Raises:
        UserError: A value is wrong.

    Example:
        >>> info = ModelInfo(
        ...     config_name="demo", classes=("plane", "ship"), box_type="obb", angle_version="le90",
        ...     window=Window(256, 64), preprocessing=Preprocessing((0, 0, 0), (255, 255, 255), "RGB", 32),
        ...     thresholds=Thresholds(0.05, 0.1, 2000, 2000, 0.1), package_version="0.1.0",
        ... )
        >>> ModelInfo.from_json(info.to_json()) == info
        True
    """

    config_name: str
    classes: tuple[str, ...]
    box_type: str
    window: Window
    preprocessing: Preprocessing
    thresholds: Thresholds
    config: str | None = None
    angle_version: str | None = None
    ground_resolution: float | None = None
    training_data: TrainingData | None = None
    origin: str | None = None
    package_version: str
    commit: str | None = None

    def __post_init__(self) -> None:
        check_string("config_name", self.config_name)
        # the name is used to look up a config and in file names, so it must not be a path
        if any(character in self.config_name for character in "/\\\0"):
            raise field_error("config_name", "a name without slashes", self.config_name)
        set_field(self, "classes", check_strings("classes", self.classes))
        check_choice("box_type", self.box_type, BOX_TYPES)
        # from_json passes these parts as dictionaries
        for name, part_type in (("window", Window), ("preprocessing", Preprocessing), ("thresholds", Thresholds)):
            if not isinstance(getattr(self, name), part_type):
                set_field(self, name, build_dataclass(part_type, name, getattr(self, name)))
        if self.training_data is not None and not isinstance(self.training_data, TrainingData):
            set_field(self, "training_data", build_dataclass(TrainingData, "training_data", self.training_data))
        for name in ("config", "origin", "commit"):
            if getattr(self, name) is not None:
                check_string(name, getattr(self, name), multiline=name == "config")
        check_string("package_version", self.package_version)
        if self.ground_resolution is not None:
            resolution = check_number("ground_resolution", self.ground_resolution, 0)
            if not resolution:
                raise field_error("ground_resolution", "above 0, in meters per pixel", resolution)
            set_field(self, "ground_resolution", resolution)
        self._check_angle_version()

    def _check_angle_version(self) -> None:
        if self.box_type == "obb":
            check_choice("angle_version", self.angle_version, ANGLE_VERSIONS)
        elif self.angle_version is not None:
            raise field_error("angle_version", "null for horizontal boxes", self.angle_version)

    def to_json(self) -> str:
        """Format the metadata as JSON on one line. Equal metadata gives equal strings."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: object, where: object = None) -> ModelInfo:
        """Parse and check the JSON string of :meth:`to_json`.

        Args:
            text: The string.
            where: The file, for errors.

        Raises:
            UserError: The text is not JSON or has a newer format, a field is missing or unknown, or a value is wrong.

        Example:
            >>> ModelInfo.from_json('{"format": 99}', "model.pth")
            Traceback (most recent call last):
            ...
            rotated_atss.errors.UserError: model.pth: the model metadata has format 99, ...
        """
        hint = "the file is damaged or written by another program"
        return parse_dataclass(cls, "the model metadata", text, where, newest_format=FORMAT, hint=hint)

    def config_values(self) -> dict[str, Any]:
        """Return the resolved config as plain values, without running code.

        Raises:
            UserError: There is no config, or its text contains something other than assignments of literals.
        """
        if self.config is None:
            raise UserError("the model metadata has no config", hint="name the config: CONFIG CHECKPOINT")
        return parse_config_text(self.config)

    def describe(self) -> str:
        """Describe the model in one line: config, number of classes, boxes, windows.

        Example:
            >>> ModelInfo(
            ...     config_name="demo", classes=("ship",), box_type="hbb", window=Window(0, 0),
            ...     preprocessing=Preprocessing((0, 0, 0), (255, 255, 255), "RGB", 32),
            ...     thresholds=Thresholds(0.05, 0.6, 1000, 100, 0.6), package_version="0.1.0",
            ... ).describe()
            'demo, 1 class, hbb, whole images'
        """
        boxes = self.box_type if self.angle_version is None else f"{self.box_type} {self.angle_version}"
        size, gap = self.window.size, self.window.gap
        windows = "whole images" if size == WHOLE_IMAGE else f"windows of {size} px with {gap} px overlap"
        return f"{self.config_name}, {count_of(len(self.classes), 'class')}, {boxes}, {windows}"


def read_info(meta: object, where: object = None) -> ModelInfo | None:
    """Parse the model metadata under :data:`KEY` in the metadata of a file; return None if there is no such key.

    Args:
        meta: ``meta`` of a ``.pth`` checkpoint, header of a ``.safetensors`` file or metadata of an ONNX file.
        where: The file, for errors.

    Raises:
        UserError: As for :meth:`ModelInfo.from_json`.

    Example:
        >>> read_info({"epoch": 12}) is None
        True
    """
    text = meta.get(KEY) if isinstance(meta, Mapping) else None
    return None if text is None else ModelInfo.from_json(text, where)
