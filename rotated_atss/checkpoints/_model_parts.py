"""Parts of the record of a model: windows, preprocessing, thresholds and training data.

:mod:`rotated_atss.checkpoints.model_info` exports them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rotated_atss.checkpoints import _record_fields as check
from rotated_atss.io.pixel_options import AUTO, PixelOptions, check_bands, check_scaling

CHANNEL_ORDERS = ("RGB", "BGR")


@dataclass(frozen=True)
class Window:
    """Size and overlap of the windows of prediction.

    Attributes:
        size: Side of a window in pixels; 0 passes the whole image to the detector.
        gap: Overlap of neighboring windows in pixels; 0 for whole images.

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

    A window (H, W, 3), uint8, is resized, its channels are ordered, and it is normalized as ``(x - mean) / std`` and
    padded with zeros at the right and at the bottom.

    Attributes:
        mean: Mean per channel in the channel order, in gray levels 0 to 255.
        std: Standard deviation per channel in the channel order, in gray levels.
        channel_order: Order of the input's channels, ``RGB`` or ``BGR``.
        pad_divisor: Height and width of the input are padded to multiples of this number of pixels.
        resize: Maximum of the longer and of the shorter side in pixels, to which an image is scaled with its aspect
            ratio kept; None leaves the size unchanged.
        bits: Number of used bits of 16-bit images, such as 11; None determines it from the images of each run.
        scaling: Scaling of pixel values that are neither 8-bit nor scaled by ``bits``, as in
            :class:`rotated_atss.io.pixel_options.PixelOptions`.
        bands: Numbers (from 1) of the bands for red, green and blue, or of one band for gray; None uses the colors that
            the file states.

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
        check.set_value(self, "mean", check.check_numbers("preprocessing.mean", self.mean, 3))
        check.set_value(self, "std", check.check_numbers("preprocessing.std", self.std, 3, 0))
        if not all(self.std):
            raise check.wrong_value("preprocessing.std", "above 0", self.std)
        check.check_choice("preprocessing.channel_order", self.channel_order, CHANNEL_ORDERS)
        check.check_int("preprocessing.pad_divisor", self.pad_divisor, 1)
        if self.resize is not None:
            if not isinstance(self.resize, (list, tuple)) or len(self.resize) != 2:
                raise check.wrong_value("preprocessing.resize", "two integers or null", self.resize)
            sides = [check.check_int("preprocessing.resize", side, 1) for side in self.resize]
            check.set_value(self, "resize", (max(sides), min(sides)))
        if self.bits is not None and not 8 <= check.check_int("preprocessing.bits", self.bits) <= 16:
            raise check.wrong_value("preprocessing.bits", "from 8 to 16 or null", self.bits)
        if isinstance(self.scaling, list):
            check.set_value(self, "scaling", tuple(self.scaling))
        if isinstance(self.bands, list):
            check.set_value(self, "bands", tuple(self.bands))
        check_scaling(self.scaling)
        check_bands(self.bands)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and limits that select the detections.

    Attributes:
        score: Candidates need a score above this value; all others are dropped before NMS.
        nms_iou: IoU threshold of the class-wise NMS per window.
        nms_pre: Maximum number of candidates per level and window before NMS, those of highest score; 0 keeps all.
        max_per_image: Maximum number of detections per image of the detector, which is a window.
        merge_iou: IoU threshold of the class-wise NMS that merges windows.
        min_box_size: Boxes need a width and a height above this value, in pixels of the input; 0 keeps all.

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
            check.set_value(self, name, check.check_number(f"thresholds.{name}", getattr(self, name), 0, 1))
        check.check_int("thresholds.nms_pre", self.nms_pre)
        check.check_int("thresholds.max_per_image", self.max_per_image, 1)
        check.set_value(self, "min_box_size", check.check_number("thresholds.min_box_size", self.min_box_size, 0))


@dataclass(frozen=True)
class TrainingData:
    """What a model was trained on.

    Attributes:
        tiles: Number of tiles, or of images if they were not split.
        images: Number of images that the tiles were cut from; None if unknown.
        objects: Number of objects in the tiles by class name.
        longer_side: Quantiles of the longer side of the boxes in pixels, such as ``{"0.99": 120.5}``.
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
        check.check_int("training_data.tiles", self.tiles)
        if self.images is not None:
            check.check_int("training_data.images", self.images)
        objects = check.check_mapping("training_data.objects", self.objects)
        check.set_value(
            self, "objects", {name: check.check_int(f"training_data.objects.{name}", n) for name, n in objects.items()}
        )
        for side in ("longer_side", "shorter_side"):
            values = check.check_mapping(f"training_data.{side}", getattr(self, side))
            check.set_value(self, side, {key: self._check_quantile(side, key, value) for key, value in values.items()})

    @staticmethod
    def _check_quantile(side: str, key: str, value: object) -> float:
        name = f"training_data.{side}"
        try:
            check.check_number(name, float(key), 0, 1)
        except ValueError:
            raise check.wrong_value(name, "an object with quantiles from 0 to 1 as keys", key) from None
        return check.check_number(f"{name}.{key}", value, 0)
