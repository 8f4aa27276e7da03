"""The record in a model file from which the model is used without other files: config, classes, windows, thresholds.

The record is one JSON text under the key :data:`KEY`: in ``meta`` of a ``.pth`` checkpoint, in the header of a
``.safetensors`` file and in the metadata of an ONNX file. Reading it runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rotated_atss.checkpoints import _record_fields as check
from rotated_atss.checkpoints.config_text import parse_config_text
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.pixel_options import AUTO, PixelOptions, check_bands, check_scaling

KEY = "rotated_atss"
FORMAT = 1
BOX_TYPES = ("obb", "hbb")
ANGLE_VERSIONS = ("oc", "le90", "le135")
CHANNEL_ORDERS = ("RGB", "BGR")
WHOLE_IMAGE = 0


@dataclass(frozen=True)
class Window:
    """Windows of prediction.

    Attributes:
        size: Side, pixels; 0 passes the whole image to the detector.
        gap: Overlap of neighboring windows, pixels; 0 for whole images.

    Example:
        >>> Window(size=256, gap=64)
        Window(size=256, gap=64)
    """

    size: int
    gap: int

    def __post_init__(self) -> None:
        check.check_int("window.size", self.size)
        check.check_int("window.gap", self.gap)
        if self.gap >= max(self.size, 1):
            raise check.wrong_value("window.gap", f"less than window.size {self.size}", self.gap)


@dataclass(frozen=True)
class Preprocessing:
    """How the pixels of a window become the input of the network.

    A window (H, W, 3), uint8, is resized, brought into the channel order, normalized as ``(x - mean) / std`` and padded
    at the right and at the bottom with zeros to multiples of ``pad_divisor``.

    Attributes:
        mean: Mean per channel in the channel order, in gray levels 0 to 255.
        std: Standard deviation per channel in the channel order, in gray levels.
        channel_order: ``RGB`` or ``BGR``: order of the input's channels.
        pad_divisor: Height and width of the input are multiples of this, pixels.
        resize: Bounds (longer side, shorter side) in pixels that an image is scaled to fit, keeping its aspect ratio;
            None leaves the size unchanged.
        bits: Used bits of 16-bit images; None counts them over the images of a run.
        scaling: Scaling of values of other types, as in :class:`rotated_atss.io.pixel_options.PixelOptions`.
        bands: Numbers of the bands of red, green and blue, or of gray, from 1; None follows the file.

    Example:
        >>> Preprocessing(mean=(0, 0, 0), std=(255, 255, 255), channel_order="RGB", pad_divisor=32).resize is None
        True
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str
    pad_divisor: int
    resize: tuple[int, int] | None = None
    bits: int | None = None
    scaling: str | tuple[float, float] = AUTO
    bands: tuple[int, ...] | None = None

    @property
    def pixels(self) -> PixelOptions:
        """Conversion of the pixels of images to 8-bit color."""
        return PixelOptions.of(self.bits, self.scaling, self.bands)

    def __post_init__(self) -> None:
        _set(self, "mean", check.check_numbers("preprocessing.mean", self.mean, 3))
        _set(self, "std", check.check_numbers("preprocessing.std", self.std, 3, 0))
        if not all(self.std):
            raise check.wrong_value("preprocessing.std", "above 0", self.std)
        check.check_choice("preprocessing.channel_order", self.channel_order, CHANNEL_ORDERS)
        check.check_int("preprocessing.pad_divisor", self.pad_divisor, 1)
        if self.resize is not None:
            if not isinstance(self.resize, (list, tuple)) or len(self.resize) != 2:
                raise check.wrong_value("preprocessing.resize", "two integers or null", self.resize)
            sides = [check.check_int("preprocessing.resize", side, 1) for side in self.resize]
            _set(self, "resize", (max(sides), min(sides)))
        if self.bits is not None and not 8 <= check.check_int("preprocessing.bits", self.bits) <= 16:
            raise check.wrong_value("preprocessing.bits", "from 8 to 16 or null", self.bits)
        if isinstance(self.scaling, list):
            _set(self, "scaling", tuple(self.scaling))
        if isinstance(self.bands, list):
            _set(self, "bands", tuple(self.bands))
        check_scaling(self.scaling)
        check_bands(self.bands)


@dataclass(frozen=True)
class Thresholds:
    """Selection of detections.

    Attributes:
        score: Detections without a higher score are dropped before NMS.
        nms_iou: IoU threshold of the class-wise NMS per window.
        nms_pre: Highest-scoring candidates per level and window that reach NMS; 0 keeps all.
        max_per_image: Detections kept per window.
        merge_iou: IoU threshold of the class-wise NMS that merges windows.
        min_box_size: Boxes whose width or height is not larger are dropped, pixels of the input; 0 keeps all.

    Example:
        >>> Thresholds(score=0.05, nms_iou=0.1, nms_pre=2000, max_per_image=2000, merge_iou=0.1).min_box_size
        0.0
    """

    score: float
    nms_iou: float
    nms_pre: int
    max_per_image: int
    merge_iou: float
    min_box_size: float = 0.0

    def __post_init__(self) -> None:
        for name in ("score", "nms_iou", "merge_iou"):
            _set(self, name, check.check_number(f"thresholds.{name}", getattr(self, name), 0, 1))
        check.check_int("thresholds.nms_pre", self.nms_pre)
        check.check_int("thresholds.max_per_image", self.max_per_image, 1)
        _set(self, "min_box_size", check.check_number("thresholds.min_box_size", self.min_box_size, 0))


@dataclass(frozen=True)
class TrainingData:
    """What a model was trained on.

    Attributes:
        tiles: Number of tiles, or of undivided images.
        images: Number of images that the tiles were cut from; None if unknown.
        objects: Number of objects in the tiles per class.
        longer_side: Quantiles of the longer side of the boxes, pixels: value by quantile, as in ``{"0.99": 120.5}``.
        shorter_side: The same for the shorter side.

    Example:
        >>> TrainingData(tiles=2, images=None, objects={"ship": 3}).longer_side
        {}
    """

    tiles: int
    images: int | None
    objects: Mapping[str, int]
    longer_side: Mapping[str, float] = field(default_factory=dict)
    shorter_side: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check.check_int("training_data.tiles", self.tiles)
        if self.images is not None:
            check.check_int("training_data.images", self.images)
        objects = check.check_mapping("training_data.objects", self.objects)
        _set(
            self, "objects", {name: check.check_int(f"training_data.objects.{name}", n) for name, n in objects.items()}
        )
        for side in ("longer_side", "shorter_side"):
            values = check.check_mapping(f"training_data.{side}", getattr(self, side))
            _set(self, side, {key: self._check_quantile(side, key, value) for key, value in values.items()})

    @staticmethod
    def _check_quantile(side: str, key: str, value: object) -> float:
        name = f"training_data.{side}"
        try:
            check.check_number(name, float(key), 0, 1)
        except ValueError:
            raise check.wrong_value(name, "an object with quantiles from 0 to 1 as keys", key) from None
        return check.check_number(f"{name}.{key}", value, 0)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Everything that is needed to use a model, and where it comes from.

    Attributes:
        config_name: Name of its config.
        classes: Class names in the order of the class indices.
        box_type: ``obb`` if it detects oriented boxes, ``hbb`` if horizontal ones.
        window: Windows of prediction.
        preprocessing: Input of the network.
        thresholds: Selection of detections.
        config: The resolved config as Python assignments of plain values, see :meth:`config_values`; None if it holds
            values that are no plain data.
        angle_version: ``oc``, ``le90`` or ``le135``; None for horizontal boxes.
        ground_resolution: Meters per pixel of the training images; None if unknown.
        training_data: None if unknown, as for converted weights.
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
        _set(self, "classes", check.check_texts("classes", self.classes))
        check.check_choice("box_type", self.box_type, BOX_TYPES)
        for name, kind in (("window", Window), ("preprocessing", Preprocessing), ("thresholds", Thresholds)):
            if not isinstance(getattr(self, name), kind):
                _set(self, name, check.build_record(kind, name, getattr(self, name)))
        if self.training_data is not None and not isinstance(self.training_data, TrainingData):
            _set(self, "training_data", check.build_record(TrainingData, "training_data", self.training_data))
        for name in ("config", "origin", "commit"):
            if getattr(self, name) is not None:
                check.check_text(name, getattr(self, name), lines=name == "config")
        check.check_text("package_version", self.package_version)
        if self.ground_resolution is not None:
            resolution = check.check_number("ground_resolution", self.ground_resolution, 0)
            if not resolution:
                raise check.wrong_value("ground_resolution", "above 0, in meters per pixel", resolution)
            _set(self, "ground_resolution", resolution)
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
            UserError: The record has no config, or its text is no assignments of plain values.
        """
        if self.config is None:
            raise UserError("the model's record has no config", hint="name the config: CONFIG CHECKPOINT")
        return parse_config_text(self.config)

    def describe(self) -> str:
        """Return one line: classes, boxes, windows.

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


def _set(record: object, name: str, value: object) -> None:
    object.__setattr__(record, name, value)  # the dataclasses are frozen
