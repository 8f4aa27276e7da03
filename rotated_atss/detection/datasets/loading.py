"""Image loading in MMDetection's pipelines with :func:`rotated_atss.io.image_reader.open_image`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS

from rotated_atss.errors import UserError
from rotated_atss.io.bit_depth import MAX_BITS, count_values, used_bits
from rotated_atss.io.image_header import UnreadableImageError
from rotated_atss.io.image_reader import PixelOptions, open_image
from rotated_atss.io.images import sample_values
from rotated_atss.io.opencv import silent_opencv
from rotated_atss.io.pixel_options import AUTO
from rotated_atss.io.scaling import is_resolved, is_scaled_by_bits


class BadImageError(UserError):
    """An image file is missing or damaged, or is not an image."""


@TRANSFORMS.register_module()
class LoadTile(LoadImageFromFile):
    """Load the image of a tile with the image reader of the commands ``split`` and ``predict``.

    The result is that of MMCV's ``LoadImageFromFile``, with three exceptions. Bands other than red, green and blue
    (such as alpha) do not affect the colors. Images that are not 8-bit are scaled to 8 bits. A damaged image, or an
    image whose scaling is not given, raises a one-line :class:`UserError`. The loader of MMCV is still used for remote
    images. It is used for all images if an option such as ``color_type`` does not have its default value.

    Args:
        bits: Used bits of 16-bit images, 8 to 16: values are divided by 2^(bits - 8). With None, 16-bit images raise an
            error, because a number of bits measured on the images could differ between training and testing.
        scaling: Scaling of images that are neither 8-bit nor 16-bit, as in
            :class:`rotated_atss.io.image_reader.PixelOptions`: ``none`` or (minimum, maximum). With ``auto`` and
            ``percentile``, such images raise an error, because measured limits could differ, too.
        bands: Numbers, counted from 1, of the bands to use as red, green and blue, or of the band to use as gray. With
            None, the bands that the file labels as red, green and blue, or as gray, are used.
        kwargs: Arguments of ``LoadImageFromFile``.
    """

    _bad_image_hint = "split again or remove the tile"

    def __init__(
        self,
        bits: int | None = None,
        scaling: str | Sequence[float] = AUTO,
        bands: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options = PixelOptions.of(bits, scaling, bands)

    def transform(self, results: dict) -> dict:
        """Load ``img_path`` and add ``img``, ``img_shape`` and ``ori_shape``."""
        path = results["img_path"]
        if self._can_use_image_reader(path):
            image = self._read(Path(path))
            return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}
        try:
            with silent_opencv():
                return super().transform(results)
        except OSError as error:
            raise BadImageError(f"cannot be read: {error.strerror}", where=path, hint=self._bad_image_hint) from error
        except (AssertionError, ValueError, cv2.error) as error:
            raise BadImageError("not a readable image, or damaged", where=path, hint=self._bad_image_hint) from error

    def _can_use_image_reader(self, path: str) -> bool:
        """Return whether the image is a local file, and all options but ``to_float32`` have their default values."""
        settings = self.color_type, self.imdecode_backend, self.file_client_args, self.backend_args, self.ignore_empty
        return settings == ("color", "cv2", None, None, False) and "://" not in path

    def _read(self, path: Path) -> np.ndarray:
        try:
            with open_image(path, self.options) as reader:
                # an unresolved scaling would have to be measured on the pixels of this image
                if not is_resolved(np.dtype(reader.dtype), self.options):
                    raise self._scaling_error(path, reader.dtype)
                image = reader.read()
        except UnreadableImageError as error:
            raise BadImageError(error.what, where=path, hint=self._bad_image_hint) from error
        return image.astype(np.float32) if self.to_float32 else image

    def _scaling_error(self, path: Path, dtype: str) -> UserError:
        name = type(self).__name__
        if not is_scaled_by_bits(np.dtype(dtype), self.options):
            hint = f"set scaling=(min, max) of {name} in all pipelines of the config, or split the images first"
            return UserError(
                f"{dtype} images need scaling=(min, max), got {self.options.scaling}", where=path, hint=hint
            )
        bits = used_bits(count_values(sample_values(path, self.options)))
        hint = f"set bits of {name} in all pipelines of the config, or split the images first"
        what = f"the number of used bits of 16-bit images must be set; this image uses {bits} of {MAX_BITS} bits"
        return UserError(what, where=path, hint=hint)


@TRANSFORMS.register_module()
class LoadCocoImage(LoadTile):
    """Load the image of a COCO dataset and check that its size is the one in the JSON."""

    _bad_image_hint = "fix the image or remove it from the JSON"

    def transform(self, results: dict) -> dict:
        """Load ``img_path`` and compare the image size with ``width`` and ``height`` if these are given."""
        json_hw = results.get("height"), results.get("width")
        results = super().transform(results)
        height, width = results["ori_shape"]
        if json_hw != (None, None) and json_hw != (height, width):
            raise UserError(
                f"image size must be {json_hw[1]} x {json_hw[0]} pixels as in the JSON, got {width} x {height}",
                where=results["img_path"],
            )
        return results
