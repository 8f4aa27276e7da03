"""Restriction of MMEngine's registries to registered classes."""

from __future__ import annotations

from mmengine.registry import registry as mmengine_registry


def restrict_to_registered_types() -> None:
    """Make MMEngine build only registered classes from now on.

    MMEngine takes a name that is not registered for the dotted name of an object of any installed package, and calls
    that object. A config that comes with a checkpoint could execute code in this way. Calling this function again has
    no effect.

    Example:
        >>> from mmengine.registry import MODELS
        >>> restrict_to_registered_types()
        >>> MODELS.get("os.system") is None
        True
    """
    mmengine_registry.get_object_from_string = _not_registered


def _not_registered(name: str) -> None:
    """Return None, as MMEngine's ``get_object_from_string`` does for an unknown name."""
