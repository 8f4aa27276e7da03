"""Missing packages are named in one line, and missing dependencies of a package are not mistaken for it."""

from __future__ import annotations

import importlib
import sys

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.requirements import require


@pytest.mark.parametrize("package", ["sahi", "torchmetrics"])
def test_modules_of_missing_packages(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"rotated_atss.interop.{package}", raising=False)
    with pytest.raises(UserError) as caught:
        importlib.import_module(f"rotated_atss.interop.{package}")
    assert str(caught.value) == f'the package {package} is not installed (pip install "rotated-atss[{package}]")'


def test_name_of_the_extra():
    with pytest.raises(UserError, match=r"the package no_such_package is not installed \(.*rotated-atss\[tools\]"):
        require("no_such_package", extra="tools")


def test_missing_dependency_of_a_package(monkeypatch, tmp_path):
    (tmp_path / "broken_package.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("broken_package")
