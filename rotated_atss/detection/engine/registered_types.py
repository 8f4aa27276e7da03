"""Lookup of classes in MMEngine's registries, restricted to registered ones."""

from __future__ import annotations

from mmengine.registry import registry as mmengine_registry


def restrict_to_registered_types() -> None:
    """Make MMEngine build only registered classes from now on.

    MMEngine resolves a name that is not registered as the dotted name of any object of any installed package, and calls
    it. A config that comes with a checkpoint could execute code in this way. Calling this function again has no effect.

    Example:
        >>> from mmengine.registry import MODELS
        >>> restrict_to_registered_types()
        >>> MODELS.get("os.system") is None
        True
    """
    mmengine_registry.get_object_from_string = _not_registered


def _not_registered(name: str) -> None:
    """Find no object, as MMEngine's ``get_object_from_string`` does for an unknown name."""
