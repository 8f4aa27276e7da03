"""Describe how the priors of a batch are arranged in levels and grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotated_atss.assign.grids import Grid


class PriorLayout(NamedTuple):
    """Level sizes, the grid of each level and, per image of a batch, the valid part of these grids.

    A cell is valid if it lies in the image. Other cells lie in the padding that gives all images of a batch the same
    size.
    """

    level_sizes: list[int]
    grids: list[Grid] | None
    valid_hw: list[list[tuple[int, int]]] | None  # (rows, columns) per image, then level; None: no padding

    @classmethod
    def create(
        cls,
        level_sizes: Sequence[int],
        grids: Sequence[Grid | tuple] | None,
        valid_hw: Sequence[Sequence[tuple[int, int]]] | None,
        num_images: int,
    ) -> PriorLayout:
        """Create a validated layout.

        Args:
            level_sizes: Number of priors per level.
            grids: Grid of each level, or None if the priors form no grids.
            valid_hw: Number of valid ``(rows, columns)`` per image and level, or None if all cells are valid. Requires
                ``grids``.
            num_images: Number of images.

        Raises:
            ValueError: The arguments do not match.
        """
        sizes = [int(size) for size in level_sizes]
        if grids is None:
            if valid_hw is not None:
                raise ValueError("valid_hw counts cells of grids, but no grids were given. Pass grids too.")
            return cls(sizes, None, None)
        level_grids = [Grid(*grid) for grid in grids]
        _check_grids(level_grids, sizes)
        if valid_hw is None:
            return cls(sizes, level_grids, None)
        _check_valid_hw(valid_hw, level_grids, num_images)
        full_hw = [(grid.height, grid.width) for grid in level_grids]
        # Convert to lists of tuples, so that the comparison with full_hw does not depend on the types in valid_hw.
        hw_lists = [[(rows, columns) for rows, columns in image_hw] for image_hw in valid_hw]
        has_padding = any(image_hw != full_hw for image_hw in hw_lists)
        return cls(sizes, level_grids, hw_lists if has_padding else None)

    def ignore_mask_with_padding(
        self, image_index: int, ignore_mask: Tensor | None, device: torch.device
    ) -> Tensor | None:
        """Return an (A,) bool mask of the priors of an image that are ignored or lie in padding.

        The result is None if ``ignore_mask`` is None and no image of the batch has padding.
        """
        if self.valid_hw is None:
            return ignore_mask
        level_masks = [self._padding_mask_of_level(level, *hw) for level, hw in enumerate(self.valid_hw[image_index])]
        padding_mask = torch.cat(level_masks).to(device, non_blocking=True)
        return padding_mask if ignore_mask is None else padding_mask | ignore_mask

    def _padding_mask_of_level(self, level: int, valid_rows: int, valid_columns: int) -> Tensor:
        """Return a bool mask of the priors of a level, True for priors outside the valid rows and columns."""
        assert self.grids is not None
        grid, size = self.grids[level], self.level_sizes[level]
        is_padding = torch.ones(grid.height, grid.width, dtype=torch.bool)  # per cell
        is_padding[:valid_rows, :valid_columns] = False
        priors_per_cell = size // max(1, is_padding.numel())
        return is_padding.flatten().repeat_interleave(priors_per_cell)


def _check_grids(grids: Sequence[Grid], level_sizes: Sequence[int]) -> None:
    if len(grids) != len(level_sizes):
        raise ValueError(f"grids must have one entry per level ({len(level_sizes)}), got {len(grids)}")
    for grid, size in zip(grids, level_sizes):
        num_cells = grid.height * grid.width
        is_multiple_of_cells = size % num_cells == 0 if num_cells else size == 0
        if grid.height < 0 or grid.width < 0 or not is_multiple_of_cells:
            raise ValueError(
                f"the number of priors of a level ({size}) must be a multiple of the number of cells of its grid, "
                f"got a grid of {grid.height} x {grid.width} cells"
            )
        if not grid.stride > 0:
            raise ValueError(f"the stride of a grid must be above 0, got {grid.stride}")


def _check_valid_hw(valid_hw: Sequence[Sequence[tuple[int, int]]], grids: Sequence[Grid], num_images: int) -> None:
    if len(valid_hw) != num_images or any(len(image_hw) != len(grids) for image_hw in valid_hw):
        raise ValueError(
            f"valid_hw must contain (rows, columns) of {len(grids)} levels for {num_images} images, "
            f"got {[len(image_hw) for image_hw in valid_hw]} levels"
        )
    for image_hw in valid_hw:
        for (rows, columns), grid in zip(image_hw, grids):
            if not (0 <= rows <= grid.height and 0 <= columns <= grid.width):
                raise ValueError(
                    f"valid_hw must not exceed the grid of {grid.height} x {grid.width} cells, got {rows} x {columns}"
                )
