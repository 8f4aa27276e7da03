"""An image to paint on, supersampled so that edges are anti-aliased.

Coordinates are pixels of the final image, with the upper-left corner of the first pixel at (0, 0).
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.synthetic.noise import FloatArray, fractal_noise
from rotated_atss.synthetic.shapes import Points
from rotated_atss.synthetic.sprite import Color, Part, Pose, shade

SUPERSAMPLE = 2  # pixels of the canvas per pixel of the final image, along each axis
_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_STRIP_ROWS = 64  # number of rows that are blended at once
_SLOPE_CONTRAST = 0.22  # a slope that faces the sun is lighter than a level surface by this fraction


class Canvas:
    """A BGR image on which shapes are painted with anti-aliased edges. A noise field gives surfaces their grain.

    Args:
        size_wh: Width and height of the final image, pixels.
        rng: Random generator for the noise.

    Attributes:
        size_wh: Width and height of the final image, pixels.
        fine_wh: Width and height of the supersampled image.
        pixels: (H, W, 3) uint8, the supersampled image.
        grain: (H, W) noise of the supersampled image, with mean 0 and about unit variance.

    Example:
        >>> canvas = Canvas((40, 30), np.random.default_rng(0))
        >>> canvas.fill(np.array([[5.0, 5], [20, 5], [20, 15], [5, 15]]), (0, 0, 255))
        >>> canvas.image().shape, canvas.image()[10, 10].tolist()
        ((30, 40, 3), [0, 0, 255])
    """

    def __init__(self, size_wh: tuple[int, int], rng: np.random.Generator) -> None:
        self.size_wh = size_wh
        self.fine_wh = (size_wh[0] * SUPERSAMPLE, size_wh[1] * SUPERSAMPLE)
        self.pixels: NDArray[np.uint8] = np.zeros((self.fine_wh[1], self.fine_wh[0], 3), np.uint8)
        patches = fractal_noise(rng, self.fine_wh, 48 * SUPERSAMPLE, octaves=4)
        speckle = fractal_noise(rng, self.fine_wh, 4 * SUPERSAMPLE, octaves=2)
        # Both fields have unit variance. The variance of their weighted sum is 0.7 ** 2 + 0.7 ** 2 = 0.98.
        self.grain: FloatArray = np.asarray(0.7 * patches + 0.7 * speckle, np.float32)

    def fill(self, points: Points, color: Color, *, alpha: float = 1.0, grain: float = 0.0) -> None:
        """Paint a polygon.

        Args:
            points: (N, 2).
            color: BGR color.
            alpha: Opacity, 0 to 1.
            grain: Standard deviation of the noise that is added to the color, in gray levels.
        """
        if alpha >= 1 and grain == 0:
            cv2.fillPoly(self.pixels, [_to_fixed_point(points)], color, cv2.LINE_AA, _SHIFT)
        else:
            self._composite(points, color, alpha, grain)

    def line(self, points: Points, color: Color, width: float, *, alpha: float = 1.0, closed: bool = False) -> None:
        """Paint a line of ``width`` pixels through points (N, 2)."""
        thickness = max(1, round(width * SUPERSAMPLE))
        window = self._window(points, margin=width)
        if window is None:
            return
        rows, columns = window
        under = self.pixels[rows, columns]
        over = under.copy()
        window_points = _to_fixed_point(points - np.array([columns.start, rows.start]) / SUPERSAMPLE)
        cv2.polylines(over, [window_points], closed, color, thickness, cv2.LINE_AA, _SHIFT)
        self.pixels[rows, columns] = over if alpha >= 1 else cv2.addWeighted(over, alpha, under, 1 - alpha, 0)

    def paint(self, parts: Iterable[Part], pose: Pose, to_sun: Points) -> None:
        """Paint the parts of a sprite; slopes that face the sun (unit vector ``to_sun``, (2,)) are lighter."""
        for part in parts:
            points, color = pose.apply(part.points), part.color
            if part.normal_xy is not None:
                color = shade(color, _slope_brightness(part.normal_xy, pose, to_sun))
            if part.width > 0:
                self.line(points, color, part.width, alpha=part.alpha, closed=part.closed)
            else:
                self.fill(points, color, alpha=part.alpha, grain=part.grain)

    def darken(self, shadows: Iterable[Points], strength: float, softness: float = 0.8) -> None:
        """Darken everything that has been painted inside the shadow polygons.

        Where shadows overlap, the image is as dark as in one shadow.

        Args:
            shadows: Polygons (N, 2).
            strength: Fraction of red light that a shadow removes, 0 to 1.
            softness: Standard deviation of the blur at the edges of the shadows, pixels.
        """
        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        for outline in shadows:
            cv2.fillPoly(mask, [_to_fixed_point(outline)], 255, cv2.LINE_AA, _SHIFT)
        blurred = cv2.GaussianBlur(mask, (0, 0), softness * SUPERSAMPLE).astype(np.float32)
        # The blue sky lights shadows, so they lose less blue (channel 0) than red.
        for channel, relative_strength in enumerate((0.90, 0.97, 1.0)):
            factor = 1 - strength * relative_strength / 255 * blurred
            self.pixels[..., channel] = (self.pixels[..., channel] * factor).astype(np.uint8)

    def image(self) -> NDArray[np.uint8]:
        """Return the image at its final size, (H, W, 3)."""
        return cv2.resize(self.pixels, self.size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8)

    def rasterize(self, points: Points) -> tuple[slice, slice, FloatArray] | None:
        """Rasterize a polygon on the supersampled grid.

        Returns:
            Rows and columns of a window around the polygon, and its coverage (h, w): for each pixel of the window, the
            share (0 to 1) that the polygon covers. None if the polygon is outside the image.
        """
        window = self._window(points)
        if window is None:
            return None
        rows, columns = window
        coverage = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        window_points = _to_fixed_point(points - np.array([columns.start, rows.start]) / SUPERSAMPLE)
        cv2.fillPoly(coverage, [window_points], 255, cv2.LINE_AA, _SHIFT)
        return rows, columns, np.asarray(coverage / np.float32(255), np.float32)

    def _window(self, points: Points, margin: float = 0.0) -> tuple[slice, slice] | None:
        """Return the rows and columns of a window around points, on the supersampled grid.

        The result is None if the window is completely outside the image.
        """
        # OpenCV's anti-aliasing can reach two pixels beyond the points on each side. ``high`` is one pixel larger,
        # because the stop of a slice is exclusive.
        low = np.floor((points.min(axis=0) - margin) * SUPERSAMPLE).astype(int) - 2
        high = np.ceil((points.max(axis=0) + margin) * SUPERSAMPLE).astype(int) + 2 + 1
        (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(high, self.fine_wh)
        return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None

    def _composite(self, points: Points, color: Color, alpha: float, grain: float) -> None:
        """Paint a polygon that is translucent or has grain."""
        window_and_coverage = self.rasterize(points)
        if window_and_coverage is None:
            return
        # The transform computes grain * noise + value for each channel.
        transform = np.array([[grain, value] for value in color])
        for rows, columns, coverage in _covered_strips(*window_and_coverage):
            colors = np.asarray(cv2.transform(self.grain[rows, columns], transform), np.float32)
            self.blend(rows, columns, colors, coverage * np.float32(alpha))

    def blend(self, rows: slice, columns: slice, colors: FloatArray, opacity: FloatArray) -> None:
        """Blend colors into a window of the supersampled grid.

        Args:
            rows: Rows of the window.
            columns: Columns of the window.
            colors: (h, w, 3), 0 to 255.
            opacity: (h, w), 0 to 1.
        """
        under = self.pixels[rows, columns].astype(np.float32)
        mixed = cv2.blendLinear(colors, under, opacity, 1 - opacity)
        self.pixels[rows, columns] = cv2.convertScaleAbs(mixed)  # rounds and saturates at 255


def _covered_strips(rows: slice, columns: slice, coverage: FloatArray) -> Iterator[tuple[slice, slice, FloatArray]]:
    """Split the window of a polygon into strips of rows, and crop each strip to the columns that the polygon covers.

    Only these strips have to be blended. This saves much time for a polygon such as a diagonal road, which covers only
    a small part of its window.

    Yields:
        Rows and columns of a strip, and the coverage of its pixels.
    """
    for top in range(0, len(coverage), _STRIP_ROWS):
        strip = coverage[top : top + _STRIP_ROWS]
        covered_columns = np.flatnonzero(strip.any(axis=0))
        if len(covered_columns):
            left, right = int(covered_columns[0]), int(covered_columns[-1]) + 1
            strip_rows = slice(rows.start + top, rows.start + top + len(strip))
            strip_columns = slice(columns.start + left, columns.start + right)
            yield strip_rows, strip_columns, strip[:, left:right]


def _to_fixed_point(points: Points) -> NDArray[np.int32]:
    """Convert points in pixels of the final image to fixed-point coordinates of OpenCV on the supersampled grid.

    OpenCV's (0, 0) is the center of the first pixel, not its corner.
    """
    return np.round((points * SUPERSAMPLE - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _slope_brightness(normal_xy: tuple[float, float], pose: Pose, to_sun: Points) -> float:
    """Return the brightness of a slope relative to a level surface: above 1 if the slope faces the sun."""
    scene_normal = Pose(0, 0, pose.angle).apply(np.array([normal_xy]))[0]
    return 1.0 + _SLOPE_CONTRAST * float(scene_normal @ to_sun)
