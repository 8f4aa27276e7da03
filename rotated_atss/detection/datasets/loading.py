"""Image loading of MMDetection's pipelines, with one-line errors and a faster PNG decoder."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS
from mmengine import fileio

from rotated_atss.errors import UserError
from rotated_atss.io.opencv import silent_opencv
from rotated_atss.io.png import decode_png


@TRANSFORMS.register_module()
class LoadTile(LoadImageFromFile):
    """Load the image of a tile: MMCV's ``LoadImageFromFile`` with a faster decoder for plain color PNGs.

    The pixels are those of ``LoadImageFromFile``. An unreadable image raises a one-line :class:`UserError`.
    """

    _hint = "split again or remove the tile"

    def transform(self, results: dict) -> dict:
        """Load ``img_path`` and add ``img``, ``img_shape`` and ``ori_shape``."""
        path = results["img_path"]
        try:
            image = self._decode_plain_png(path)
            if image is not None:
                return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}
            with silent_opencv():
                return super().transform(results)
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=path, hint=self._hint) from error
        except (AssertionError, ValueError, cv2.error) as error:
            raise UserError("not a readable image, or cut short", where=path, hint=self._hint) from error

    def _decode_plain_png(self, path: str) -> np.ndarray | None:
        """Decode a plain PNG to the pixels of OpenCV; None for other files and for settings that change the result."""
        if (self.color_type, self.imdecode_backend, self.file_client_args) != ("color", "cv2", None):
            return None
        image = decode_png(fileio.get(path, backend_args=self.backend_args))
        return image.astype(np.float32) if image is not None and self.to_float32 else image


@TRANSFORMS.register_module()
class LoadCocoImage(LoadTile):
    """Load the image of a COCO dataset and check that its size is the one in the JSON."""

    _hint = "fix the image or remove it from the JSON"

    def transform(self, results: dict) -> dict:
        """Load ``img_path`` and compare its size with ``width`` and ``height`` where these are given."""
        json_hw = results.get("height"), results.get("width")
        results = super().transform(results)
        height, width = results["ori_shape"]
        if json_hw != (None, None) and json_hw != (height, width):
            raise UserError(
                f"image size must be {json_hw[1]} x {json_hw[0]} pixels as in the JSON, got {width} x {height}",
                where=results["img_path"],
            )
        return results
