"""Import optional packages. If a package is missing, the error states the pip command that installs it."""

from __future__ import annotations

import importlib
from types import ModuleType

from rotated_atss.errors import UserError


def require(package: str, extra: str | None = None) -> ModuleType:
    """Import an optional package.

    Args:
        package: Import name.
        extra: Extra of rotated-atss that installs the package; None if the extra has the same name as the package.

    Raises:
        UserError: The package is not installed.

    Example:
        >>> require("json").__name__
        'json'
        >>> require("no_such_package")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: the package no_such_package is not installed (pip install ...)
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:  # The package is installed, but one of its dependencies, error.name, is missing.
            raise
        hint = f'pip install "rotated-atss[{package if extra is None else extra}]"'
        raise UserError(f"the package {package} is not installed", hint=hint) from None
