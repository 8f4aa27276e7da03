"""Make ``mmcv.ops`` importable without the compiled ops of mmcv.

``pip install onedl-mmcv`` installs only the Python files of mmcv. Without the compiled module ``mmcv._ext``, neither
``mmcv.ops`` nor ``mmdet.models`` can be imported. This package calls no op of mmcv, so a stand-in for the compiled
module is enough. Each function of the stand-in raises an error that names the op. A compiled ``mmcv._ext`` always takes
precedence.
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

EXTENSION_NAME = "mmcv._ext"
INSTALL_HINT = "run make setup-baselines in a checkout, or install a compiled mmcv: https://mmcv.readthedocs.io"


class _StandIn(ModuleType):
    """Module that has a function for every name. Each function raises an error when it is called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):  # attributes such as __path__, which the import system tests for
            raise AttributeError(name)

        def raise_missing_op(*args: Any, **kwargs: Any) -> NoReturn:
            raise UserError(f"'{name}' of mmcv.ops was called, but mmcv has no compiled ops", hint=INSTALL_HINT)

        raise_missing_op.__name__ = name
        return raise_missing_op


class _Finder(MetaPathFinder, Loader):
    """Find the stand-in for ``mmcv._ext``. It is the last finder, so it is used only without a compiled module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, origin=__file__) if fullname == EXTENSION_NAME else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name, __doc__)

    def exec_module(self, module: ModuleType) -> None:
        pass


def provide_mmcv_ext() -> None:
    """Make ``mmcv.ops`` importable without compiled ops. Further calls have no effect.

    :mod:`rotated_atss.detection` calls this function at its import, before it imports MMDetection.

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
    # PathFinder searches only files, so it does not find the stand-in
    return bool(folders) and PathFinder.find_spec(EXTENSION_NAME, folders) is not None
