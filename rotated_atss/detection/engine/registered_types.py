"""Restriction of MMEngine's registries to registered classes."""

from __future__ import annotations

from mmengine.registry import registry as mmengine_registry


def restrict_to_registered_types() -> None:
    """Make MMEngine build only registered classes from now on.

    If a config has a ``type`` that is not registered, MMEngine interprets the type as the dotted name of an object in
    any installed package, and calls this object. In this way, a config that comes with a checkpoint could execute code.
    Calling this function again has no effect.

    Example:
        >>> from mmengine.registry import MODELS
        >>> restrict_to_registered_types()
        >>> MODELS.get("os.system") is None
        True
    """
    mmengine_registry.get_object_from_string = _find_no_object


def _find_no_object(name: str) -> None:
    """Return None, as MMEngine's ``get_object_from_string`` does for an unknown name."""
