"""The record in a model file: config, classes, windows, thresholds and all else that is needed to use the model.

The record is one JSON text under the key :data:`KEY`: in ``meta`` of a ``.pth`` checkpoint, in the header of a
``.safetensors`` file or in the metadata of an ONNX file. Reading it runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rotated_atss.checkpoints import _record_fields as check
from rotated_atss.checkpoints._model_parts import Preprocessing, Thresholds, TrainingData, Window
from rotated_atss.checkpoints.config_text import parse_config_text
from rotated_atss.errors import UserError, count_of

__all__ = ["KEY", "WHOLE_IMAGE", "ModelInfo", "Preprocessing", "Thresholds", "TrainingData", "Window", "read_info"]

KEY = "rotated_atss"
FORMAT = 1
BOX_TYPES = ("obb", "hbb")
ANGLE_VERSIONS = ("oc", "le90", "le135")
WHOLE_IMAGE = 0  # window size for detection on whole images


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Everything that is needed to use a model, and where it comes from.

    Attributes:
        config_name: Name of the config.
        classes: Class names in the order of the class indices.
        box_type: ``obb`` for oriented boxes, ``hbb`` for horizontal boxes.
        window: Size and overlap of the windows of prediction.
        preprocessing: How the pixels of a window become the input of the network.
        thresholds: Thresholds and limits that select the detections.
        config: The resolved config as Python assignments of plain values, see :meth:`config_values`; None if the config
            holds values that are not plain data.
        angle_version: ``oc``, ``le90`` or ``le135``; None for horizontal boxes.
        ground_resolution: Meters per pixel of the training images; None if unknown.
        training_data: What the model was trained on; None if unknown, as for converted weights.
        origin: Source and file of converted weights; None for a model trained with this package.
        package_version: Version of the package that wrote the record.
        commit: Commit of the working copy that wrote the record; None for an installed package.

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
        if any(character in check.check_text("config_name", self.config_name) for character in "/\\\0"):
            raise check.wrong_value("config_name", "a name without slashes", self.config_name)
        check.set_value(self, "classes", check.check_texts("classes", self.classes))
        check.check_choice("box_type", self.box_type, BOX_TYPES)
        for name, kind in (("window", Window), ("preprocessing", Preprocessing), ("thresholds", Thresholds)):
            if not isinstance(getattr(self, name), kind):
                check.set_value(self, name, check.build_record(kind, name, getattr(self, name)))
        if self.training_data is not None and not isinstance(self.training_data, TrainingData):
            check.set_value(
                self, "training_data", check.build_record(TrainingData, "training_data", self.training_data)
            )
        for name in ("config", "origin", "commit"):
            if getattr(self, name) is not None:
                check.check_text(name, getattr(self, name), multiline=name == "config")
        check.check_text("package_version", self.package_version)
        if self.ground_resolution is not None:
            resolution = check.check_number("ground_resolution", self.ground_resolution, 0)
            if not resolution:
                raise check.wrong_value("ground_resolution", "above 0, in meters per pixel", resolution)
            check.set_value(self, "ground_resolution", resolution)
        self._check_angle_version()

    def _check_angle_version(self) -> None:
        if self.box_type == "obb":
            check.check_choice("angle_version", self.angle_version, ANGLE_VERSIONS)
        elif self.angle_version is not None:
            raise check.wrong_value("angle_version", "null for horizontal boxes", self.angle_version)

    def to_json(self) -> str:
        """Format the record as JSON on one line. Equal records give equal texts."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: object, where: object = None) -> ModelInfo:
        """Parse and check the JSON text of a record.

        Args:
            text: The text.
            where: The file, for errors.

        Raises:
            UserError: The text is not JSON, is a record of a newer format, or an entry is missing, unknown or wrong.

        Example:
            >>> ModelInfo.from_json('{"format": 99}', "model.pth")
            Traceback (most recent call last):
            ...
            rotated_atss.errors.UserError: model.pth: the model's record has format 99, this version reads 1 ...
        """
        hint = "the file is damaged or written by another program"
        return check.parse_record(cls, "the model's record", text, where, newest_format=FORMAT, hint=hint)

    def config_values(self) -> dict[str, Any]:
        """Return the resolved config as plain values, without running code.

        Raises:
            UserError: The record has no config, or its text is more than assignments of plain values.
        """
        if self.config is None:
            raise UserError("the model's record has no config", hint="name the config: CONFIG CHECKPOINT")
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
    """Return the record in the metadata of a model file, or None if there is none.

    Args:
        meta: ``meta`` of a ``.pth`` checkpoint, header of a ``.safetensors`` file or metadata of an ONNX file.
        where: The file, for errors.

    Raises:
        UserError: As :meth:`ModelInfo.from_json`.

    Example:
        >>> read_info({"epoch": 12}) is None
        True
    """
    text = meta.get(KEY) if isinstance(meta, Mapping) else None
    return None if text is None else ModelInfo.from_json(text, where)
