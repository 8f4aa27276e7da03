"""Stand-in for ``mmcv._ext``, the compiled ops of mmcv, where mmcv was installed without them.

``pip install onedl-mmcv`` builds a wheel of Python files in seconds, whose ``mmcv.ops``, and with it ``mmdet.models``,
cannot be imported. This package calls none of the ops, so it provides the missing module: each of its functions raises
an error that names the op. A compiled ``mmcv._ext`` always takes precedence.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn

from rotated_atss.errors import UserError

NAME = "mmcv._ext"
INSTALL_HINT = "make setup-baselines in a checkout, or a compiled mmcv from https://mmcv.readthedocs.io"


class _StandIn(ModuleType):
    """Module with a function for every name."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing_op(*args: Any, **kwargs: Any) -> NoReturn:
            raise UserError(f"this mmcv has no compiled ops, and '{name}' of mmcv.ops was called", hint=INSTALL_HINT)

        missing_op.__name__ = name
        return missing_op


class _Finder(MetaPathFinder, Loader):
    """Finds ``mmcv._ext`` after all other finders, so only if no compiled one exists."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, origin=__file__) if fullname == NAME else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name, __doc__)

    def exec_module(self, module: ModuleType) -> None:
        pass


def provide_mmcv_ext() -> None:
    """Make ``mmcv.ops`` importable without compiled ops; does nothing the second time.

    Importing :mod:`rotated_atss.detection` calls it before it imports MMDetection.

    Example:
        >>> provide_mmcv_ext()
        >>> from importlib.util import find_spec
        >>> find_spec("mmcv") is None or find_spec("mmcv._ext") is not None
        True
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def has_compiled_mmcv_ops() -> bool:
    """Return whether mmcv is installed with compiled ops.

    Example:
        >>> has_compiled_mmcv_ops() in (True, False)
        True
    """
    mmcv = find_spec("mmcv")
    folders = mmcv.submodule_search_locations if mmcv else None
    return bool(folders) and PathFinder.find_spec(NAME, folders) is not None
