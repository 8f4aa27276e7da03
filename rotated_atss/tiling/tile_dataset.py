"""Load the tiles of a split as a PyTorch dataset, for training loops without MMDetection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from rotated_atss.dota.classes import resolve_classes
from rotated_atss.dota.folders import pair_images_and_labels
from rotated_atss.dota.labels import Labels, read_labels
from rotated_atss.dota.tiles import is_tile_name, parse_tile_name
from rotated_atss.errors import count_of
from rotated_atss.io.images import read_image
from rotated_atss.ops.boxes import check_angle_version, check_rect, normalize_obb, poly_to_obb
from rotated_atss.tiling.crop import MIN_AREA, object_areas
from rotated_atss.tiling.manifest import check_tiles, find_manifest

Sample = tuple[Tensor, dict[str, Any]]
"""An image (3, H, W), uint8, RGB, and its target; :class:`TileDataset` describes the keys of the target."""

logger = logging.getLogger(__name__)


class TileObjects(NamedTuple):
    """Objects of one tile, without zero-area objects.

    Attributes:
        boxes: (N, 5) float32 ``cx, cy, w, h, angle`` in pixels of the tile and radians.
        labels: (N,) int64 class indices.
        difficult: (N,) int64: 0, 1, or 2 (truncated by splitting).
        without_area: Line numbers of the zero-area objects in the label file.
    """

    boxes: Tensor
    labels: Tensor
    difficult: Tensor
    without_area: tuple[int, ...]


def to_tile_objects(
    labels: Labels, classes: Sequence[str], *, angle_version: str = "le90", rect: str = "edge"
) -> TileObjects:
    """Convert the labels of a tile to boxes and class indices; leave out zero-area objects.

    Args:
        labels: Labels of the tile, with class names that are in ``classes``.
        classes: Class names in the order of the class indices.
        angle_version: Angle version of the boxes.
        rect: Choice among several minimum-area rectangles of a polygon (:func:`rotated_atss.ops.boxes.poly_to_obb`).

    Example:
        >>> rectangle, point = [1.0, 2, 11, 2, 11, 8, 1, 8], [3.0, 3, 3, 3, 3, 3, 3, 3]
        >>> difficult, line_numbers = np.array([1, 0]), np.array([1, 2])
        >>> labels = Labels(np.array([rectangle, point]), ("ship", "ship"), difficult, line_numbers)
        >>> objects = to_tile_objects(labels, ["plane", "ship"])
        >>> objects.boxes.tolist()
        [[6.0, 5.0, 10.0, 6.0, 0.0]]
        >>> objects.labels.tolist(), objects.difficult.tolist()
        ([1], [1])
        >>> objects.without_area
        (2,)
    """
    # Splitting computes areas in the same way; for example, polygons with crossing sides have an area in both.
    has_area = object_areas(labels.polygons) > MIN_AREA
    boxes = poly_to_obb(torch.from_numpy(labels.polygons[has_area]), angle_version, rect=rect)
    index_of_class = {name: index for index, name in enumerate(classes)}
    class_indices = [index_of_class[name] for name, keep in zip(labels.names, has_area) if keep]
    return TileObjects(
        boxes.float(),
        torch.tensor(class_indices, dtype=torch.int64),
        torch.from_numpy(labels.difficult[has_area]),
        tuple(labels.line_numbers[~has_area].tolist()),
    )


class TileDataset(Dataset[Sample]):
    """Dataset of the tiles in the output folder of ``rotated-atss split``, sorted by name.

    A sample is an image, (3, H, W) uint8, RGB, and a target dict with

    - ``boxes``, ``labels`` and ``difficult`` as in :class:`TileObjects`, only if the folder has labels,
    - ``name``: name of the tile,
    - ``offset``: (2,) int64 ``x, y`` of the tile's upper left corner in pixels of the resized image,
    - ``rate``: factor by which the image was resized before it was split.

    A point of the tile lies at ``(point + offset) / rate`` in the full image. An image without a tile name has offset 0
    and rate 1. Labels are read when the dataset is created, images when a sample is accessed.

    Args:
        root: Folder with ``images`` and, for labeled tiles, ``labelTxt``; its ``manifest.json`` is checked if present.
        classes: Class names in the order of the class indices, or a specification for
            :func:`rotated_atss.dota.classes.resolve_classes`, such as a DOTA version or a file of names. None uses the
            names that occur in the labels, sorted.
        angle_version: ``le90``, ``le135`` or ``oc`` (:mod:`rotated_atss.ops.boxes`).
        rect: Choice among several minimum-area rectangles of a polygon (:func:`rotated_atss.ops.boxes.poly_to_obb`).
        transform: Called with the image and the target of a sample; returns both.
        allow_missing_tiles: Accept a folder in which some tiles of the manifest are missing.

    Raises:
        UserError: A folder or label file is missing, a label is malformed, a class is unknown, or the tiles differ from
            the manifest.
        ValueError: ``angle_version`` or ``rect`` is unknown.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("images", "labelTxt"):
        ...         Path(folder, name).mkdir()
        ...     _ = cv2.imwrite(f"{folder}/images/P1__32__0___8.png", np.zeros((32, 32, 3), np.uint8))
        ...     _ = Path(folder, "labelTxt/P1__32__0___8.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     dataset = TileDataset(folder)
        ...     image, target = dataset[0]
        >>> image.shape, dataset.classes
        (torch.Size([3, 32, 32]), ('ship',))
        >>> target["boxes"].tolist(), target["offset"].tolist()
        ([[6.0, 5.0, 10.0, 6.0, 0.0]], [0, 8])
    """

    def __init__(
        self,
        root: str | Path,
        classes: str | Path | Sequence[str] | None = None,
        *,
        angle_version: str = "le90",
        rect: str = "edge",
        transform: Callable[[Tensor, dict[str, Any]], Sample] | None = None,
        allow_missing_tiles: bool = False,
    ) -> None:
        self.root, self.transform = Path(root), transform
        self.angle_version, self.rect = check_angle_version(angle_version), check_rect(rect)
        label_folder = self.root / "labelTxt"
        pairs = pair_images_and_labels(self.root / "images", label_folder if label_folder.exists() else None)
        self.images = [image for image, _ in pairs]
        tile_names = {image.stem for image in self.images}
        # The check raises errors. The notes that it returns are not used, because they only concern the evaluation.
        check_tiles(find_manifest(self.root), tile_names, self.root / "images", allow_missing=allow_missing_tiles)
        class_names = None if classes is None else resolve_classes(classes)
        labels_per_image = [None if path is None else read_labels(path, class_names) for _, path in pairs]
        if class_names is None:
            names = {name for labels in labels_per_image if labels is not None for name in labels.names}
            class_names = tuple(sorted(names))
        self.classes = class_names
        self._objects = [None if labels is None else self._to_objects(labels) for labels in labels_per_image]
        self._warn_about_zero_area([path for _, path in pairs])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        path = self.images[index]
        rgb = read_image(path)[..., ::-1]  # read_image returns BGR
        image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))  # torch accepts no negative strides
        target = self._build_target(path.stem, self._objects[index])
        return (image, target) if self.transform is None else self.transform(image, target)

    def _to_objects(self, labels: Labels) -> TileObjects:
        objects = to_tile_objects(labels, self.classes, angle_version=self.angle_version, rect=self.rect)
        # Rounding to float32 can move an angle out of the range of the angle version.
        return objects._replace(boxes=normalize_obb(objects.boxes, self.angle_version))

    def _warn_about_zero_area(self, label_files: Sequence[Path | None]) -> None:
        """Log how many objects are left out because they have no area, and the place of the first one."""
        places = [
            f"{path}:{line}"
            for path, objects in zip(label_files, self._objects, strict=True)
            if objects is not None
            for line in objects.without_area
        ]
        if places:
            num_objects = count_of(len(places), "object")
            logger.warning("left out %s without area, the first at %s", num_objects, places[0])

    def _build_target(self, name: str, objects: TileObjects | None) -> dict[str, Any]:
        target: dict[str, Any] = {}
        if objects is not None:  # the tensors are copied, because a transform may change them in place
            target["boxes"] = objects.boxes.clone()
            target["labels"], target["difficult"] = objects.labels.clone(), objects.difficult.clone()
        tile = parse_tile_name(name) if is_tile_name(name) else None
        target["name"] = name
        target["offset"] = torch.tensor((tile.x, tile.y) if tile else (0, 0))
        target["rate"] = tile.rate if tile else 1.0
        return target


def collate_tiles(samples: Sequence[Sample]) -> tuple[Tensor, list[dict[str, Any]]]:
    """Collate samples of :class:`TileDataset` into a batch, as ``collate_fn`` of a ``DataLoader``.

    Args:
        samples: B samples.

    Returns:
        Images (B, 3, H, W) and B targets. Smaller images are padded with zeros on the right and at the bottom.

    Example:
        >>> tall_image = torch.ones(3, 8, 6, dtype=torch.uint8)
        >>> wide_image = torch.ones(3, 4, 9, dtype=torch.uint8)
        >>> images, targets = collate_tiles([(tall_image, {}), (wide_image, {})])
        >>> images.shape, len(targets)
        (torch.Size([2, 3, 8, 9]), 2)
        >>> images[1, 0].sum().item()  # 4 x 9 pixels of value 1, padded with zeros
        36
    """
    images = [image for image, _ in samples]
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    padded = [pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images]
    return torch.stack(padded), [target for _, target in samples]
