"""Prior generators, registered with MMDetection."""

from __future__ import annotations

from typing import Any

from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor
from torch import Tensor
from torch.nn.modules.utils import _pair

from rotated_atss.ops.boxes import hbb_to_obb


@TASK_UTILS.register_module()
class OrientedAnchorGenerator(AnchorGenerator):
    """Generate the anchors of MMDetection's ``AnchorGenerator`` as oriented boxes with a common angle.

    Args:
        args: Positional arguments of ``AnchorGenerator``.
        angle: Angle of every prior in radians. It is used as given, without normalization to an angle version.
        kwargs: Keyword arguments of ``AnchorGenerator``. With ``octave_base_scale=4, scales_per_octave=1,
            ratios=[1.0]``, each location (column, row) of a level has one square prior with side 4 x stride, centered
            on (column x stride, row x stride).

    Example:
        >>> generator = OrientedAnchorGenerator(octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=[8])
        >>> generator.grid_priors([(1, 2)], device="cpu")
        [tensor([[ 0.,  0., 32., 32.,  0.],
                [ 8.,  0., 32., 32.,  0.]])]
    """

    def __init__(self, *args: Any, angle: float = 0.0, **kwargs: Any) -> None:
        self.angle = float(angle)
        super().__init__(*args, **kwargs)

    def single_level_grid_priors(self, *args: Any, **kwargs: Any) -> Tensor:
        """Generate the (N, 5) priors of one level. The arguments are those of ``AnchorGenerator``."""
        return self._orient(super().single_level_grid_priors(*args, **kwargs))

    def sparse_priors(self, *args: Any, **kwargs: Any) -> Tensor:
        """Generate the (N, 5) priors at given indices in a level. The arguments are those of ``AnchorGenerator``."""
        return self._orient(super().sparse_priors(*args, **kwargs))

    def _orient(self, hbbs: Tensor | HorizontalBoxes) -> Tensor:
        """Convert (N, 4) horizontal boxes to (N, 5) oriented boxes with the configured angle."""
        priors = hbb_to_obb(get_box_tensor(hbbs))
        priors[:, 4] = self.angle
        return priors


@TASK_UTILS.register_module()
class PriorGrid(AnchorGenerator):
    """Describe the grid of each level for a refinement head, whose priors are the boxes that another head predicts.

    There is one prior per cell.

    Args:
        strides: Stride of each level in pixels.

    Example:
        >>> PriorGrid([8, 16]).num_base_priors
        [1, 1]
    """

    def __init__(self, strides: list[int]) -> None:
        # super().__init__() is not called, because it would create base anchors, which this class does not need. Of the
        # base class, the heads use num_levels only.
        self.strides = [_pair(stride) for stride in strides]  # (x, y), as in AnchorGenerator

    @property
    def num_base_priors(self) -> list[int]:
        """Number of priors per cell of each level."""
        return [1] * len(self.strides)
