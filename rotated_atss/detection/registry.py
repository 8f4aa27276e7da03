"""MMEngine registries of the scope ``rotated_atss.detection``, the ``default_scope`` of this package's configs.

MMEngine imports this module when it builds a config of that scope.
"""

from __future__ import annotations

from typing import Any

import mmdet.registry
from mmengine.registry import Registry

SCOPE = "rotated_atss.detection"

# Names under which MMDetection registers a class, and MMEngine or MMCV registers a different class. In the configs of
# this package, these names refer to the class of MMDetection, even if that class has not been imported yet.
REPLACED_BY_MMDET = frozenset(
    {"ConcatDataset", "ImageToTensor", "LoadAnnotations", "Pad", "RandomFlip", "Resize", "SiLU", "ToTensor"}
)


class LoadedFirstRegistry(Registry):
    """Registry that searches the imported classes of MMDetection, MMCV and MMEngine before it imports further ones.

    A registry of MMDetection imports all models, datasets, transforms, metrics and hooks of MMDetection before it looks
    up a name. This registry does so only for a name that no imported class has.

    Example:
        >>> DATASETS.get("DOTADataset").__name__
        'DOTADataset'
    """

    def get(self, key: str) -> Any:
        """Return the class that is registered as ``key``, or None if there is no such class.

        Args:
            key: Name of the class, or ``mmdet.Name`` to search only the classes of MMDetection.
        """
        assert self.parent is not None
        # This package registers its classes in MMDetection's registry, which is the parent. The root is MMEngine's
        # registry, in which MMCV registers its classes, too.
        mmdet_classes, general_classes = self.parent.module_dict, self.root.module_dict
        if key in mmdet_classes:
            return mmdet_classes[key]
        if key in general_classes and key not in REPLACED_BY_MMDET:
            return general_classes[key]
        return self.parent.get(key)


# One registry per kind of class (models, hooks, ...), because MMEngine looks up each kind in the default scope.
REGISTRIES = {
    name: LoadedFirstRegistry(parent.name, parent=parent, scope=SCOPE)
    for name, parent in vars(mmdet.registry).items()
    if isinstance(parent, Registry) and parent.scope == "mmdet"
}
DATASETS = REGISTRIES["DATASETS"]
