"""Define and check the parts of the model metadata: windows, preprocessing, thresholds and training data.

Other modules import these classes from :mod:`rotated_atss.checkpoints.model_info`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rotated_atss.checkpoints._field_checks import (
    check_choice,
    check_int,
    check_mapping,
    check_number,
    check_numbers,
    field_error,
    set_field,
)
from rotated_atss.io.pixel_options import AUTO, PixelOptions, check_bands, check_scaling

CHANNEL_ORDERS = ("RGB", "BGR")


@dataclass(frozen=True)
class Window:
    """Size and overlap of the windows in which the detector processes an image.

    Attributes:
        size: Side of a window in pixels. With 0, the whole image is one window.
        gap: Overlap of neighboring windows in pixels. It must be 0 if ``size`` is 0.

    Example:
        >>> Window(size=256, gap=64)
        Window(size=256, gap=64)
    """

    size: int
    gap: int

    def __post_init__(self) -> None:
        check_int("window.size", self.size)
        check_int("window.gap", self.gap)
        if self.gap >= max(self.size, 1):  # max allows a gap of 0 if the size is 0
            raise field_error("window.gap", f"less than window.size {self.size}", self.gap)


@dataclass(frozen=True)
class Preprocessing:
    """Conversion of the pixels of a window to the input of the network.

    A window (H, W, 3), uint8, is resized, converted to ``channel_order``, normalized as ``(x - mean) / std`` and padded
    with zeros at the right and bottom.

    Attributes:
        mean: Mean of each channel on the scale 0 to 255, in ``channel_order``.
        std: Standard deviation of each channel on the same scale, in ``channel_order``.
        channel_order: Order of the channels of the network input, ``RGB`` or ``BGR``.
        pad_divisor: Height and width of the network input are padded to multiples of this number of pixels.
        resize: Maximum longer side and maximum shorter side in pixels, given in any order. A window is scaled to the
            largest size within both limits, and keeps its aspect ratio. None leaves the size unchanged.
        bits: Number of bits that 16-bit images use, such as 11. With None, each run determines the number from its
            images.
        scaling: How pixel values are scaled to 8 bits if they are neither 8-bit nor scaled by ``bits``. It is the name
            of a rule, such as ``percentile``, or the two values that become 0 and 255
            (:class:`rotated_atss.io.pixel_options.PixelOptions`).
        bands: Numbers of the bands for red, green and blue, or the number of one band for gray, counted from 1. With
            None, the color bands that the image file defines are used.

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
        """Options for the conversion of image pixels to 8-bit color."""
        return PixelOptions.of(self.bits, self.scaling, self.bands)

    def __post_init__(self) -> None:
        set_field(self, "mean", check_numbers("preprocessing.mean", self.mean, 3))
        set_field(self, "std", check_numbers("preprocessing.std", self.std, 3, 0))
        if not all(self.std):
            raise field_error("preprocessing.std", "above 0", self.std)
        check_choice("preprocessing.channel_order", self.channel_order, CHANNEL_ORDERS)
        check_int("preprocessing.pad_divisor", self.pad_divisor, 1)
        if self.resize is not None:
            if not isinstance(self.resize, (list, tuple)) or len(self.resize) != 2:
                raise field_error("preprocessing.resize", "two integers or null", self.resize)
            sides = [check_int("preprocessing.resize", side, 1) for side in self.resize]
            set_field(self, "resize", (max(sides), min(sides)))
        if self.bits is not None and not 8 <= check_int("preprocessing.bits", self.bits) <= 16:
            raise field_error("preprocessing.bits", "from 8 to 16 or null", self.bits)
        if isinstance(self.scaling, list):
            set_field(self, "scaling", tuple(self.scaling))
        if isinstance(self.bands, list):
            set_field(self, "bands", tuple(self.bands))
        check_scaling(self.scaling)
        check_bands(self.bands)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and limits that select the detections.

    Attributes:
        score: Predictions with a score of at most this value are dropped before NMS.
        nms_iou: IoU threshold of the class-wise NMS within a window.
        nms_pre: Maximum number of candidates per level and window before NMS. Those with the highest scores are kept. 0
            keeps all.
        max_per_image: Maximum number of detections per window. The name is MMDetection's, for which a window is an
            image.
        merge_iou: IoU threshold of the class-wise NMS that merges the detections of all windows.
        min_box_size: Boxes whose width or height is at most this number of pixels of the network input are dropped. As
            an exception, a value of 0 keeps all oriented boxes.

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
            set_field(self, name, check_number(f"thresholds.{name}", getattr(self, name), 0, 1))
        check_int("thresholds.nms_pre", self.nms_pre)
        check_int("thresholds.max_per_image", self.max_per_image, 1)
        set_field(self, "min_box_size", check_number("thresholds.min_box_size", self.min_box_size, 0))


@dataclass(frozen=True)
class TrainingData:
    """Statistics of the data on which a model was trained.

    Attributes:
        tiles: Number of tiles, or of images if they were not split.
        images: Number of images that the tiles were cut from, None if unknown.
        objects: Number of objects in the tiles by class name.
        longer_side: Quantiles of the longer side of the boxes in pixels. ``{"0.99": 120.5}`` is the 99% quantile.
        shorter_side: Quantiles of the shorter side of the boxes in pixels.

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
        check_int("training_data.tiles", self.tiles)
        if self.images is not None:
            check_int("training_data.images", self.images)
        objects = check_mapping("training_data.objects", self.objects)
        for class_name, count in objects.items():
            check_int(f"training_data.objects.{class_name}", count)
        set_field(self, "objects", objects)
        for side in ("longer_side", "shorter_side"):
            values = check_mapping(f"training_data.{side}", getattr(self, side))
            set_field(self, side, {key: self._check_quantile(side, key, value) for key, value in values.items()})

    @staticmethod
    def _check_quantile(side: str, key: str, value: object) -> float:
        """Check that the key of a quantile is a number from 0 to 1 and that its value is a length in pixels."""
        name = f"training_data.{side}"
        try:
            check_number(name, float(key), 0, 1)
        except ValueError:
            raise field_error(name, "an object with quantiles from 0 to 1 as keys", key) from None
        return check_number(f"{name}.{key}", value, 0)
