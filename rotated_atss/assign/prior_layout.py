"""Arrangement of the priors of a batch in levels and grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotated_atss.assign.grids import Grid
from rotated_atss.assign.validation import check_grids, check_valid_hw


class PriorLayout(NamedTuple):
    """Level sizes, grids and, per image of a batch, the valid part of each level's grid.

    The other cells of a grid lie in the padding of their image.
    """

    level_sizes: list[int]
    grids: list[Grid] | None
    valid_hw: list[list[tuple[int, int]]] | None  # (rows, columns) per image and level; None without padding

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
            grids: Grid of each level, or None for priors that form no grids.
            valid_hw: Valid rows and columns per image and level; None if all cells are valid. Needs ``grids``.
            num_images: Number of images.

        Raises:
            ValueError: The arguments do not fit together.
        """
        sizes = [int(size) for size in level_sizes]
        if grids is None:
            if valid_hw is not None:
                raise ValueError("valid_hw counts cells of grids, but no grids were given. Pass grids too.")
            return cls(sizes, None, None)
        level_grids = [Grid(*grid) for grid in grids]
        check_grids(level_grids, sizes)
        if valid_hw is None:
            return cls(sizes, level_grids, None)
        check_valid_hw(valid_hw, level_grids, num_images)
        full_hw = [(grid.height, grid.width) for grid in level_grids]
        valid = [[(rows, columns) for rows, columns in image_hw] for image_hw in valid_hw]
        return cls(sizes, level_grids, None if all(image_hw == full_hw for image_hw in valid) else valid)

    def ignore_padding(self, image_index: int, ignore_mask: Tensor | None, device: torch.device) -> Tensor | None:
        """Extend the (A,) ignore mask of an image by the priors in its padding; None if no prior is ignored."""
        if self.valid_hw is None:
            return ignore_mask
        levels = [self._padding_of_level(level, *hw) for level, hw in enumerate(self.valid_hw[image_index])]
        padding = torch.cat(levels).to(device)
        return padding if ignore_mask is None else padding | ignore_mask

    def _padding_of_level(self, level: int, rows: int, columns: int) -> Tensor:
        assert self.grids is not None
        grid, size = self.grids[level], self.level_sizes[level]
        padding = torch.ones(grid.height, grid.width, dtype=torch.bool)
        padding[:rows, :columns] = False
        return padding.flatten().repeat_interleave(size // max(1, padding.numel()))
